package worker_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
)

// What becomes of a turn that is cut off is a matter of what it has shown, and of resend.
func TestResend(t *testing.T) {
	t.Parallel()
	silent := func(v *visit) { v.hear(); v.cut() }
	shows := func(v *visit) { v.hear(); v.send(calling("t")); v.sync(); v.cut() }
	says := func(v *visit) { v.hear(); v.send(start("m"), chunk("m", "I was about to")); v.sync(); v.cut() }
	answers := func(v *visit) {
		if v.hear() != "" {
			v.stream("m", "answered anew")
		}
	}
	goesOn := func(v *visit) { v.send(returned("t", "done")); v.stream("m", "went on") }
	nothing := func(*visit) {}
	for name, c := range map[string]struct {
		settings      string
		first, second func(*visit)
		status        worker.Status
		reason        string
		response      string
		heard         int
		attempts      int
	}{
		"unobserved, showed nothing":      {"resend: unobserved", silent, answers, worker.Completed, "", "answered anew", 2, 2},
		"unobserved, half a stream":       {"resend: unobserved", says, answers, worker.Completed, "", "answered anew", 2, 2},
		"unobserved, showed a tool":       {"resend: unobserved", shows, goesOn, worker.Completed, "", "went on", 1, 1},
		"unobserved, nothing more":        {"resend: unobserved, resume_wait: 150ms", shows, nothing, worker.Interrupted, "resume_wait", "", 1, 1},
		"never, showed nothing":           {"resend: never, resume_wait: 150ms", silent, nothing, worker.Interrupted, "resume_wait", "", 1, 1},
		"never, went on":                  {"resend: never", silent, goesOn, worker.Completed, "", "went on", 1, 1},
		"always, showed a tool":           {"resend: always", shows, answers, worker.Completed, "", "answered anew", 2, 2},
		"always, up to max_attempts":      {"resend: always, max_attempts: 2", shows, shows, worker.Failed, "attempt 2 of 2", "", 2, 2},
		"unobserved, up to max_attempts":  {"max_attempts: 2", silent, silent, worker.Failed, "attempt 2 of 2", "", 2, 2},
		"resume_wait of zero ends it now": {"resume_wait: 0s", shows, goesOn, worker.Interrupted, "resume_wait", "", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.settings, `  - {name: tool, on: tool_action, actions: [{publish: a.b}]}
`, talk(c.first), talk(c.second))
			o := w.handle(`{"content":"Hi"}`)
			w.expect(o, c.status, c.reason)
			if o.Response != c.response || len(w.bot.messages()) != c.heard || o.Attempts != c.attempts || len(o.Turns) != 1 {
				t.Errorf("response %q, heard %q, outcome %+v", o.Response, w.bot.messages(), o)
			}
			for _, v := range w.bot.connections() {
				if v != o.VisitorID {
					t.Errorf("visitors %q, want %q throughout", w.bot.connections(), o.VisitorID)
				}
			}
		})
	}
}

// The worker dies after the journal has its decision and before the outbox has the action: the next one enqueues it under
// its id, does not ask the bot again, and goes on as the same visitor.
func TestAWorkerThatDied(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"delivered again": true, "a delivery that says nothing of the first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAWorkerThatDied(t, again)
		})
	}
}

func testAWorkerThatDied(t *testing.T, again bool) {
	w := newWorld(t, "", `  - {name: tool, on: tool_action_result, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.stream("m", "went on") }))
	event := rules.Seen{N: 1, Event: rules.Event{Type: rules.ToolActionResult, Tool: "t", Status: "done", At: time.Now()}, Decisions: []rules.Decision{
		{Rule: "tool", Result: rules.Fired, Actions: []rules.Action{{ID: "act_of_the_dead", Rule: "tool", Kind: rules.KindPublish, Endpoint: "nats", Subject: "a.b"}}},
	}}
	dead := []*worker.Record{
		{At: time.Now().Add(-time.Minute), Writer: "dead/1", Rules: "v0", Place: "p1", Hold: worker.Hold{Seq: 1, N: 1}, Sent: &worker.Sent{Message: "Hi", VisitorID: "the-visitor"}},
		{At: time.Now().Add(-time.Minute), Writer: "dead/2", Rules: "v0", Place: "p1", Hold: worker.Hold{Seq: 1, N: 1}, Seen: []rules.Seen{event}},
	}
	last := uint64(0)
	for _, r := range dead {
		seq, err := w.queue.Journal.Append(w.ctx, "job", last, r)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	j := job("Hi", 2)
	j.Again = again
	if d := w.worker.Handle(w.ctx, j); d.Verb != worker.Ack {
		t.Fatalf("disposition %+v, logs %v", d, w.logs.All())
	}
	o := w.outcome("job")
	w.expect(o, worker.Completed, "")
	if o.Attempts != 2 || len(o.History) != 1 || !strings.Contains(o.History[0].Reason, "without a word") || o.Response != "went on" {
		t.Errorf("outcome %+v", o)
	}
	if len(w.outbox.list) != 1 || w.outbox.list[0].ID != "act_of_the_dead" || len(w.bot.messages()) != 0 {
		t.Errorf("enqueued %+v, the bot heard %q", w.outbox.list, w.bot.messages())
	}
	seen := w.bot.connections()
	if seen[len(seen)-1] != "the-visitor" || o.VisitorID != "the-visitor" || again && len(seen) != 1 || !reflect.DeepEqual(o.Versions, []string{"v0", w.set.Version()}) {
		t.Errorf("visitors %q, versions %q", seen, o.Versions)
	}
	if len(o.Fired) != 1 || o.Turns[0].Tools["t"] != "done" {
		t.Errorf("fired %+v, turns %+v", o.Fired, o.Turns)
	}
}

func TestAPromptThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_attempts: 3", "", says("too late"))
	last := uint64(0)
	for n := range uint64(3) {
		r := &worker.Record{At: time.Now().Add(-time.Minute), Writer: "dead", Place: "p1", Hold: worker.Hold{Seq: 1, N: n + 1}}
		if n == 0 {
			r.Sent = &worker.Sent{Message: "Hi", VisitorID: "v"}
		} else {
			r.Begun = &worker.Begun{Attempt: int(n) + 1, Lost: &worker.Failure{Attempt: int(n), Reason: "died"}}
		}
		r.Writer += string(rune('0' + n))
		seq, err := w.queue.Journal.Append(w.ctx, "job", last, r)
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	if d := w.worker.Handle(w.ctx, job("Hi", 4)); d.Verb != worker.Ack {
		t.Fatalf("disposition %+v", d)
	}
	o := w.outcome("job")
	w.expect(o, worker.Failed, "attempt 3 of 3")
	if len(o.History) != 3 || len(w.bot.connections()) != 0 {
		t.Errorf("history %+v", o.History)
	}
}

// A rival writes while this worker holds the prompt: its next append fails, and it enqueues and publishes nothing more.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	asked, overtaken := make(chan struct{}), make(chan struct{})
	w := newWorld(t, "", `  - {name: tool, on: tool_action, actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.hear()
		close(asked)
		<-overtaken
		v.send(calling("t"), returned("t", "done"))
		v.stream("m", "ok")
	}))
	go func() {
		defer close(overtaken)
		<-asked
		last := uint64(0)
		_ = w.queue.Journal.Read(w.ctx, "job", func(_ *worker.Record, seq uint64) { last = seq })
		if _, err := w.queue.Journal.Append(w.ctx, "job", last, &worker.Record{Writer: "rival", Place: "p1", Hold: worker.Hold{Seq: 1, N: 2}}); err != nil {
			t.Errorf("the rival's append: %v", err)
		}
	}()
	if d := w.worker.Handle(w.ctx, job("Hi", 1)); d.Verb != worker.Leave {
		t.Errorf("disposition %+v", d)
	}
	if got := w.outbox.rules(); len(got) != 0 {
		t.Errorf("enqueued %q after it was overtaken", got)
	}
	if settled, err := w.queue.Outcomes.Settled(w.ctx, "job"); settled || err != nil {
		t.Errorf("it published an outcome: %v, %v", settled, err)
	}
	if len(w.logs.FilterMessageSnippet("overtaken").All()) != 1 {
		t.Errorf("it said nothing: %v", w.logs.All())
	}
}

// The same for a worker whose last append took so long that it may have been overtaken right after it.
func TestPausedWhileItAppended(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: tool, on: tool_action, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.hear(); v.send(calling("t")) }))
	slow := &slowJournal{journal: w.journal, rival: func(last uint64) {
		if _, err := w.queue.Journal.Append(w.ctx, "job", last, &worker.Record{Writer: "rival", Place: "p1"}); err != nil {
			t.Errorf("the rival's append: %v", err)
		}
	}}
	made, err := worker.New(worker.Config{Journal: slow, Outcomes: w.queue.Outcomes, Outbox: w.outbox, Lease: 50 * time.Millisecond, Log: zap.NewNop()}, w.set)
	if err != nil {
		t.Fatal(err)
	}
	if d := made.Handle(w.ctx, job("Hi", 1)); d.Verb != worker.Leave {
		t.Errorf("disposition %+v", d)
	}
	if got := w.outbox.rules(); len(got) != 0 {
		t.Errorf("enqueued %q on the strength of an append that was overtaken", got)
	}
}

// slowJournal is paused after the append of a decision, for longer than the lease; meanwhile a rival writes.
type slowJournal struct {
	*journal
	rival func(last uint64)
}

func (j *slowJournal) Append(ctx context.Context, prompt string, last uint64, r *worker.Record) (uint64, error) {
	seq, err := j.journal.Append(ctx, prompt, last, r)
	if err == nil && len(r.Seen) > 0 {
		j.rival(seq)
		<-time.After(60 * time.Millisecond)
	}
	return seq, err
}

// What an overtaken worker has sent may reach NATS late: the outcome that it was about to store is refused then.
func TestOutcomeThatWasUnderWay(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	var w *world
	w = newWorld(t, "", "", talk(func(v *visit) { v.hear(); close(asked) }), talk(func(v *visit) {
		v.hear()
		late := &worker.Outcome{ID: "job", Bot: "support", Status: worker.Handoff, Writer: "late/1"}
		if err := w.queue.Outcomes.Publish(w.ctx, late, "", 0); !errors.Is(err, worker.ErrFenced) {
			t.Errorf("the outcome that was under way: %v", err)
		}
		v.stream("m", "ok")
	}))
	if d := w.lose(job("Hello", 1), asked, worker.ErrFenced); d.Verb != worker.Leave {
		t.Fatalf("disposition %+v", d)
	}
	o := w.takeUp("Hello")
	w.expect(o, worker.Completed, "")
	if o.Attempts != 2 {
		t.Errorf("%d attempts", o.Attempts)
	}
}

// An outcome that came first is how the prompt ended: who takes it up says nothing more to the bot.
func TestOutcomeThatCameFirst(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	w := newWorld(t, "", "", talk(func(v *visit) { v.hear(); close(asked) }))
	w.lose(job("Hello", 1), asked, worker.ErrFenced)
	late := &lateOutcomes{Outcomes: w.queue.Outcomes, first: func() {
		o := &worker.Outcome{ID: "job", Bot: "support", Status: worker.Handoff, Writer: "late/1"}
		if err := w.queue.Outcomes.Publish(w.ctx, o, "", 0); err != nil {
			t.Errorf("the outcome that came first: %v", err)
		}
	}}
	made, err := worker.New(worker.Config{Journal: w.journal, Outcomes: late, Outbox: w.outbox, Log: zap.NewNop()}, w.set)
	if err != nil {
		t.Fatal(err)
	}
	if d := made.Handle(w.ctx, job("Hello", 2)); d.Verb != worker.Ack {
		t.Errorf("disposition %+v", d)
	}
	if o := w.outcome("job"); o.Status != worker.Handoff || len(w.bot.messages()) != 1 {
		t.Errorf("outcome %+v, heard %q", o, w.bot.messages())
	}
}

// A prompt may change hands more than once, and right before its end too: whoever comes last has the fence of the one before
// to reckon with.
func TestTakenOverAtItsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload string
		before  worker.Record
		status  worker.Status
	}{
		"over but for its outcome": {"Hello", worker.Record{Seen: []rules.Seen{{N: 1, Event: rules.Event{Type: rules.ConversationEnded, Status: "failed", Message: "worn out"}}}}, worker.Failed},
		"not valid, and begun":     {`{"content":5}`, worker.Record{}, worker.Rejected},
		"not valid, and rejected":  {`{"content":5}`, worker.Record{Reject: "bad"}, worker.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "", "", echo())
			c.before.Writer, c.before.Place, c.before.Hold = "rival", "p1", worker.Hold{Seq: 1, N: 1}
			seq, err := w.queue.Journal.Append(w.ctx, "job", 0, &c.before)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.queue.Outcomes.TakeOver(w.ctx, "job", seq); err != nil {
				t.Fatal(err)
			}
			if d := w.worker.Handle(w.ctx, job(c.payload, 2)); d.Verb != worker.Ack {
				t.Fatalf("disposition %+v, %v", d, w.logs.All())
			}
			if o := w.outcome("job"); o.Status != c.status {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// lateOutcomes are those of a NATS that a rival's outcome reaches right after nobody was found to have ended the prompt.
type lateOutcomes struct {
	worker.Outcomes
	first func()
}

func (o *lateOutcomes) TakeOver(ctx context.Context, prompt string, record uint64) (uint64, bool, error) {
	o.first()
	return o.Outcomes.TakeOver(ctx, prompt, record)
}

func TestUnreadableFramesAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", talk(func(v *visit) {
		v.hear()
		v.send("no json", "{", "[]")
		_ = v.ws.WriteMessage(websocket.BinaryMessage, []byte("x"))
		v.stream("m", "ok")
	}))
	reg := prometheus.NewPedanticRegistry()
	made, err := worker.New(worker.Config{Journal: w.journal, Outcomes: w.queue.Outcomes, Outbox: w.outbox, Metrics: worker.NewMetrics(reg)}, w.set)
	if err != nil {
		t.Fatal(err)
	}
	w.worker = made
	w.expect(w.handle("Hi"), worker.Completed, "")
	want := `# HELP dgworker_skipped_frames_total Frames of bots that could not be read and were passed over.
# TYPE dgworker_skipped_frames_total counter
dgworker_skipped_frames_total{bot="support",kind="bad_json"} 3
dgworker_skipped_frames_total{bot="support",kind="binary"} 1
# HELP dgworker_prompts_total Prompts that ended, by the status of their outcome.
# TYPE dgworker_prompts_total counter
dgworker_prompts_total{bot="support",status="completed"} 1
# HELP dgworker_conversations Conversations that are open now.
# TYPE dgworker_conversations gauge
dgworker_conversations{bot="support"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "dgworker_skipped_frames_total", "dgworker_prompts_total", "dgworker_conversations"); err != nil {
		t.Error(err)
	}
}

// An event that fires nothing is journaled at once if it is the turn's first; those after it may wait a little for a
// record to ride on, but no longer.
func TestTheFirstEventIsJournaledAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", talk(func(v *visit) {
		v.hear()
		v.send(calling("a"), returned("a", "done"), calling("b"))
		v.pause(500 * time.Millisecond)
		v.send(returned("b", "done"))
		v.stream("m", "ok")
	}))
	w.expect(w.handle("Hi"), worker.Completed, "")
	var seen []int
	for _, r := range w.journal.all() {
		seen = append(seen, len(r.Seen))
	}
	if !reflect.DeepEqual(seen, []int{0, 1, 2}) {
		t.Errorf("records with %v events, want the sent mark, the first event, and the two after it together", seen)
	}
}

// peers are other workers of which one holds a prompt, or not.
type peers struct {
	holds bool
	asked []string
}

func (p *peers) Holds(_ context.Context, identity, prompt string) (bool, error) {
	p.asked = append(p.asked, identity+" "+prompt)
	return p.holds, nil
}

// NATS gave the prompt away though its worker lives. It is asked before anything is done, and keeps it.
func TestAWorkerThatLives(t *testing.T) {
	t.Parallel()
	for _, lives := range []bool{true, false} {
		t.Run(fmt.Sprint(lives), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "", "", says("Hi"))
			p := &peers{holds: lives}
			w.peers = p
			w.worker = w.another()
			r := &worker.Record{At: time.Now().Add(-time.Minute), Writer: "host-1/born/1", Place: "p1", Hold: worker.Hold{Seq: 1, N: 1}, Sent: &worker.Sent{Message: "Hello", VisitorID: "v"}}
			if _, err := w.queue.Journal.Append(w.ctx, "job", 0, r); err != nil {
				t.Fatal(err)
			}
			want := worker.Ack
			if lives {
				want = worker.Leave
			}
			if d := w.worker.Handle(w.ctx, job(`{"content":"Hello","visitor_id":"v"}`, 2)); d.Verb != want {
				t.Errorf("disposition %+v, want %v", d, want)
			}
			if len(p.asked) != 1 || p.asked[0] != "born job" {
				t.Errorf("asked %q", p.asked)
			}
			if n := len(w.bot.connections()); lives && n != 0 {
				t.Errorf("the visitor was there %d times beside the one that lives", n)
			}
		})
	}
}
