package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"dgworker/rules"
	"dgworker/worker"
)

func TestJournalIsFenced(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	j := b.open().Journal
	record := func(writer string) *worker.Record { return &worker.Record{Writer: writer, Back: writer} }
	first, err := j.Append(b.ctx, "p 1", 0, record("a/1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(b.ctx, "other", 0, record("a/2")); err != nil {
		t.Fatalf("the journal of another prompt: %v", err)
	}
	second, err := j.Append(b.ctx, "p 1", first, record("b/1"))
	if err != nil || second <= first {
		t.Fatalf("second append: %d, %v", second, err)
	}
	for name, last := range map[string]uint64{"expects none": 0, "expects the first": first, "expects what never was": second + 10} {
		if _, err := j.Append(b.ctx, "p 1", last, record("a/3")); !errors.Is(err, worker.ErrFenced) {
			t.Errorf("an append that %s: %v, want fenced", name, err)
		}
	}
	var read []string
	if err := j.Read(b.ctx, "p 1", func(r *worker.Record, seq uint64) { read = append(read, fmt.Sprint(r.Writer, " ", seq)) }); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("a/1 %d,b/1 %d", first, second); strings.Join(read, ",") != want {
		t.Errorf("read %q, want %s", read, want)
	}
	if err := j.Read(b.ctx, "nobody", func(*worker.Record, uint64) { t.Error("a record of nobody") }); err != nil {
		t.Error(err)
	}
}

// A publish whose answer was lost is repeated: what is stored already is recognised as one's own.
func TestAnAppendThatWasStoredUnheard(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	j := b.open().Journal
	r := &worker.Record{Writer: "a/1"}
	first, err := j.Append(b.ctx, "p", 0, r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := j.Append(b.ctx, "p", 0, r); err != nil || again != first {
		t.Errorf("the same append again: %d, %v; want %d", again, err, first)
	}
	if _, err := j.Append(b.ctx, "p", 0, &worker.Record{Writer: "b/1"}); !errors.Is(err, worker.ErrFenced) {
		t.Errorf("a rival: %v", err)
	}
	if n := b.left(b.open(), "JOURNAL"); n != 1 {
		t.Errorf("%d records are stored", n)
	}
}

func TestARecordThatIsTooLarge(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	if _, err := b.open().Journal.Append(b.ctx, "p", 0, &worker.Record{Back: strings.Repeat("x", 100<<10)}); !errors.Is(err, worker.ErrTooLarge) {
		t.Errorf("append: %v, want too large", err)
	}
}

// Whatever its rivals say, a prompt has one outcome, under any status; each winner hears that it won, each loser that it lost.
func TestOutcomesAreFenced(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	statuses := []worker.Status{worker.Completed, worker.Handoff, worker.Failed, worker.Interrupted, worker.Rejected}
	queues := []*Queue{b.open(), b.open()}
	for round := range 5 {
		id := fmt.Sprintf("p %d", round)
		var wins, losses atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				o := &worker.Outcome{ID: id, Bot: "support", Status: statuses[(i+round)%len(statuses)], Writer: fmt.Sprintf("w%d/%d", i, round)}
				switch err := queues[i%2].Outcomes.Publish(b.ctx, o, "", 0); {
				case err == nil:
					wins.Add(1)
				case errors.Is(err, worker.ErrFenced):
					losses.Add(1)
				default:
					t.Errorf("publish: %v", err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 || losses.Load() != 7 {
			t.Errorf("%d won and %d lost", wins.Load(), losses.Load())
		}
	}
	if n := b.left(queues[0], "OUTCOMES"); n != 5 {
		t.Errorf("%d outcomes of 5 prompts", n)
	}
}

func TestAnOutcomeThatWasStoredUnheard(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	for _, status := range []worker.Status{worker.Completed, worker.Failed} {
		o := &worker.Outcome{ID: string(status), Bot: "support", Status: status, Writer: "w/1"}
		for range 3 {
			if err := q.Outcomes.Publish(b.ctx, o, "", 0); err != nil {
				t.Errorf("publish again: %v", err)
			}
		}
		if settled, err := q.Outcomes.Settled(b.ctx, o.ID); !settled || err != nil {
			t.Errorf("settled: %v, %v", settled, err)
		}
	}
	if settled, err := q.Outcomes.Settled(b.ctx, "other"); settled || err != nil {
		t.Errorf("another prompt is settled: %v, %v", settled, err)
	}
	if outcomes, dead := b.left(q, "OUTCOMES"), b.left(q, "DEAD"); outcomes != 2 || dead != 1 {
		t.Errorf("%d outcomes and %d dead letters, want 2 and 1", outcomes, dead)
	}
}

// The dead letter is stored before its outcome: nobody looks at a prompt again that has one.
func TestTheDeadLetterComesFirst(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	nc, _ := b.connect()
	sub, err := nc.SubscribeSync("dgbot.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	o := &worker.Outcome{ID: "p", Bot: "support", Status: worker.Failed, Writer: "w/1"}
	if err := q.Outcomes.Publish(b.ctx, o, "dgbot-inbox.1", 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dgbot.dead.prompts.support.p", "dgbot.outcomes.support.failed.p"} {
		msg, err := sub.NextMsgWithContext(b.ctx)
		if err != nil || msg.Subject != want {
			t.Fatalf("published to %v, %v; want %s", msg, err, want)
		}
		for name, want := range map[string]string{"ce-specversion": "1.0", "ce-id": "p", "ce-source": "/dgworker/bots/support", "ce-type": "dgworker.outcome.failed"} {
			if got := msg.Header.Get(name); got != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
	}
}

func TestAnOutcomeIsMadeToFit(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	q := b.open()
	for name, o := range map[string]*worker.Outcome{
		"frames":     {Turns: []worker.Turn{{Events: []rules.Seen{{Event: rules.Event{Raw: map[string]any{"x": strings.Repeat("x", 100<<10)}}}}}}},
		"data":       {Prompt: worker.PromptRecord{Data: strings.Repeat("x", 100<<10)}},
		"transcript": {Response: strings.Repeat("é", 50<<10), Turns: []worker.Turn{{Response: strings.Repeat("é", 50<<10)}, {Message: "a"}}},
		"greeting":   {Greeting: []worker.Stream{{Text: strings.Repeat("\x01", 30<<10)}}},
	} {
		o.ID, o.Bot, o.Status, o.Writer = name, "support", worker.Completed, "w/"+name
		if err := q.Outcomes.Publish(b.ctx, o, "", 0); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stream, err := q.JetStream.Stream(b.ctx, "DGBOT_OUTCOMES")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(b.ctx, q.Names.Outcome("support", "completed", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var back worker.Outcome
		if err := json.Unmarshal(msg.Data, &back); err != nil || !back.Truncated || back.ID != name {
			t.Errorf("%s: %v, truncated %v", name, err, back.Truncated)
		}
	}
}

// What was asked for a rejected prompt is asked again to the digit.
func TestRetryKeepsNumbers(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	for id, record := range map[string]worker.PromptRecord{
		"data":    {Content: "Hi", Data: map[string]any{"order": 9007199254740993}},
		"payload": {Payload: `{"content":5,"data":{"order":9007199254740993}}`},
	} {
		o := &worker.Outcome{ID: id, Bot: "support", Status: worker.Failed, Writer: "w/" + id, Prompt: record}
		if err := q.Outcomes.Publish(b.ctx, o, "", 0); err != nil {
			t.Fatal(err)
		}
		archive, err := OpenArchive(b.ctx, q.JetStream, "dgbot")
		if err != nil {
			t.Fatal(err)
		}
		again, err := archive.RetryPrompt(b.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := q.prompts.GetLastMsgForSubject(b.ctx, "dgbot.prompts.support")
		if err != nil || !strings.Contains(string(msg.Data), `"order":9007199254740993`) || !strings.Contains(string(msg.Data), again) || msg.Header.Get(worker.HeaderRetryOf) != id {
			t.Errorf("%s: the retry is %s %v, %v", id, msg.Data, msg.Header, err)
		}
		if _, err := archive.DeadPrompt(b.ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: the dead letter is still there: %v", id, err)
		}
	}
}

// A dead letter that is refused because an earlier try is under way is not there yet, and the outcome has to wait for it.
func TestADeadLetterThatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	c, _ := b.config()
	js := &underWay{JetStream: c.JetStream, prefix: "dgbot.dead.", tries: 2}
	c.JetStream = js
	q := b.openWith(c)
	for range 2 { // the second time it is there
		o := &worker.Outcome{ID: "p1", Bot: "support", Status: worker.Failed, Writer: "one/1"}
		if err := q.Outcomes.bury(b.ctx, o, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	e := &DeadEvent{Trigger: "orders", ID: "e1"}
	js.tries = 2
	if err := q.BuryEvent(b.ctx, e); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{q.Names.DeadPrompt("support", "p1"), q.Names.DeadEvent("orders", "e1")} {
		if _, err := q.letters.GetLastMsgForSubject(b.ctx, subject); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	if js.tries != 0 {
		t.Errorf("%d refusals are left", js.tries)
	}
}
