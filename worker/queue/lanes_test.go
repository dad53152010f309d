package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
)

// Prompts of one visitor never overlap and those of one lane keep their order, over three workers, whatever way they come.
func TestLanes(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	queues := []*Queue{b.openPatient(), b.openPatient(), b.openPatient()}
	const visitors, each = 12, 10
	for i := range each {
		for v := range visitors {
			visitor := fmt.Sprintf("visitor %d", v)
			switch v % 3 {
			case 0: // a lane named by its subject
				b.publish(queues[0], fmt.Sprintf("dgbot.prompts.support.lane%d", v), fmt.Sprintf(`{"content":"%d"}`, i))
			case 1: // by its payload, on the plain subject: no order, no overlap
				b.publish(queues[0], "dgbot.prompts.support", fmt.Sprintf(`{"content":"%d","visitor_id":%q}`, i, visitor))
			case 2: // both, with another name: the lane keeps its order, the visitor does not overlap
				b.publish(queues[0], fmt.Sprintf("dgbot.prompts.support.mixed%d", v), fmt.Sprintf(`{"content":"%d","visitor_id":"shared"}`, i))
			}
		}
	}
	shared := newDesk(queues[0]) // counts over all three
	for _, q := range queues {
		b.takes(q, shared, 8, support)
	}
	shared.await(b.ctx, t, visitors*each)
	if len(shared.rivals) > 0 {
		t.Errorf("visitors overlapped: %q", shared.rivals)
	}
	for v := 0; v < visitors; v += 3 {
		lane := fmt.Sprintf("lane%d", v)
		for i, content := range shared.order[lane] {
			if content != fmt.Sprint(i) {
				t.Errorf("%s was handled in the order %q", lane, shared.order[lane])
				break
			}
		}
		if len(shared.order[lane]) != each {
			t.Errorf("%s had %d prompts", lane, len(shared.order[lane]))
		}
	}
	if n := len(shared.order["shared"]); n != visitors/3*each {
		t.Errorf("%d prompts of the shared visitor", n)
	}
	b.awaitEmpty(queues[0], "PROMPTS", "LANES", "READY")
}

// A prompt on a lane that names another visitor waits for that visitor, at the head of its own lane.
func TestALaneWhoseVisitorIsBusy(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	release := make(chan struct{})
	d.work = func(ctx context.Context, _ *worker.Job, p *worker.Prompt) *worker.Disposition {
		if p.Content == "first" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}
	b.takes(q, d, 4, support)
	b.publish(q, "dgbot.prompts.support", `{"id":"v1","content":"first","visitor_id":"V"}`)
	for d.holds() == 0 {
		if err := wait(b.ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	b.publish(q, "dgbot.prompts.support.L", `{"id":"l1","content":"mixed","visitor_id":"V"}`)
	b.publish(q, "dgbot.prompts.support.L", `{"id":"l2","content":"behind it"}`)
	b.publish(q, "dgbot.prompts.support.other", `{"id":"o1","content":"not held up"}`)
	if ids := d.await(b.ctx, t, 1); ids[0] != "o1" {
		t.Fatalf("%q went first", ids)
	}
	close(release)
	if ids := d.await(b.ctx, t, 3); strings.Join(ids, " ") != "v1 l1 l2" {
		t.Errorf("handled in the order %q", ids)
	}
	b.awaitEmpty(q, "PROMPTS", "LANES", "READY")
}

// A mover that died between its publish and its acknowledgement moves the prompt again: it is stored once.
func TestAPromptIsMovedOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	in := &Intake{q: q, handling: b.ctx, log: zap.NewNop()}
	job := &worker.Job{Bot: "support", Lane: "L", Payload: []byte("Hi"), PositionID: "p1"}
	for range 3 {
		if err := in.queueUp(b.ctx, job, "L", "id-1", ""); err != nil {
			t.Fatal(err)
		}
	}
	if lanes, tokens := b.left(q, "LANES"), b.left(q, "READY"); lanes != 1 || tokens != 1 {
		t.Errorf("%d prompts and %d tokens in the lane", lanes, tokens)
	}
}

// A replicated stream refuses a message also while an earlier try is under way, which may yet come to nothing: where its leader
// loses its followers, for one. The prompt must not be let go of for that.
func TestAPromptThatIsUnderWayIsNotThereYet(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	c, _ := b.config()
	js := &underWay{JetStream: c.JetStream, prefix: "dgbot.lanes.", tries: 3}
	c.JetStream = js
	q := b.openWith(c)
	d := newDesk(q)
	b.takes(q, d, 1, support)
	b.publish(q, "dgbot.prompts.support.L", `{"id":"one","content":"Hi"}`)
	if got := d.await(b.ctx, t, 1); got[0] != "one" || js.tries != 0 {
		t.Errorf("outcome of %q, %d refusals left", got, js.tries)
	}
	b.awaitEmpty(q, "PROMPTS", "LANES", "READY")
}

// underWay refuses so many publishes of those subjects as a cluster does while an earlier one is under way.
type underWay struct {
	jetstream.JetStream
	prefix string
	tries  int
}

func (u *underWay) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if strings.HasPrefix(m.Subject, u.prefix) && u.tries > 0 {
		u.tries--
		return nil, &jetstream.APIError{Code: 400, ErrorCode: codeWrongUnderWay, Description: "wrong last sequence"}
	}
	return u.JetStream.PublishMsg(ctx, m, opts...)
}

// Of two workers with one bot, the mover of one alone moves: its consumer hands out one prompt at a time.
func TestMoverTakesOneAtATime(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	b.takes(q, newDesk(q), 1, support)
	for {
		consumer, err := q.prompts.Consumer(b.ctx, "mover-support")
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			if err := wait(b.ctx, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := consumer.CachedInfo().Config; got.MaxAckPending != 1 || got.FilterSubject != "dgbot.prompts.support.*" {
			t.Errorf("mover %+v", got)
		}
		return
	}
}
