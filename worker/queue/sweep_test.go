package queue

import (
	"context"
	"dgworker/worker"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// What no worker knows is rejected after the grace: other bots, and subjects with too many tokens.
func TestSweeperRejectsUnknownBots(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	b.takes(q, d, 4, support)
	began := time.Now()
	b.publish(q, "dgbot.prompts.nobody", "Hi", worker.HeaderID, "u1")
	b.publish(q, "dgbot.prompts.nobody.lane", "Hi", worker.HeaderID, "u2")
	b.publish(q, "dgbot.prompts.support.lane.too.many", "Hi", worker.HeaderID, "u3")
	ids := d.await(b.ctx, t, 3)
	slices.Sort(ids)
	if strings.Join(ids, " ") != "u1 u2 u3" || time.Since(began) < 300*time.Millisecond {
		t.Errorf("rejected %q after %s", ids, time.Since(began))
	}
	b.awaitEmpty(q, "PROMPTS")
	archive, err := OpenArchive(b.ctx, q.JetStream, "dgbot")
	if err != nil {
		t.Fatal(err)
	}
	for id := range archive.Dead(b.ctx, Filter{Status: "rejected"}) {
		if id.Bot != "nobody" && id.Bot != "support" {
			t.Errorf("dead letter %+v", id)
		}
	}
}

// The bot has left the rules and its consumer was removed: what its mover had put into lanes is rejected, too.
func TestSweeperRejectsWhatIsLeftInLanes(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	in := &Intake{q: q, handling: b.ctx, log: zap.NewNop()}
	job := &worker.Job{Bot: "gone", Lane: "L", Payload: []byte("Hi"), PositionID: "p1", Arrived: time.Now(), Headers: map[string][]string{worker.HeaderID: {"id-1"}}}
	if err := in.queueUp(b.ctx, job, "L", "id-1", ""); err != nil {
		t.Fatal(err)
	}
	d := newDesk(q)
	b.takes(q, d, 1, support)
	if ids := d.await(b.ctx, t, 1); ids[0] != "id-1" {
		t.Errorf("rejected %q", ids)
	}
	b.awaitEmpty(q, "LANES")
	if _, err := q.Outcomes.stream.GetLastMsgForSubject(b.ctx, "dgbot.outcomes.gone.rejected.id-1"); err != nil {
		t.Error(err)
	}
}

// A token that was lost is put back by the sweeper of any worker that has the bot.
func TestSweeperPutsTokensBack(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	in := &Intake{q: q, handling: b.ctx, log: zap.NewNop()}
	job := &worker.Job{Bot: "support", Lane: "L", Payload: []byte("Hi"), PositionID: "p1", Arrived: time.Now(), Headers: map[string][]string{worker.HeaderID: {"id-1"}, "Nats-TTL": {"1s"}, "X-Own": {"x"}}}
	if err := in.queueUp(b.ctx, job, "L", "id-1", ""); err != nil {
		t.Fatal(err)
	}
	if err := q.ready.Purge(b.ctx); err != nil {
		t.Fatal(err)
	}
	d := newDesk(q)
	var got *worker.Job
	d.work = func(_ context.Context, job *worker.Job, _ *worker.Prompt) *worker.Disposition { got = job; return nil }
	b.takes(q, d, 1, support)
	if ids := d.await(b.ctx, t, 1); ids[0] != "id-1" {
		t.Errorf("handled %q", ids)
	}
	if got.Lane != "L" || got.PositionID != "p1" || !got.Arrived.Equal(job.Arrived) || got.Headers["X-Own"][0] != "x" || got.Headers["Nats-TTL"] != nil {
		t.Errorf("the lane kept %+v of %+v", got, job)
	}
	b.awaitEmpty(q, "LANES", "READY")
}
