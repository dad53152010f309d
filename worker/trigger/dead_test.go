package trigger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker/queue"
)

func (w *world) letters() []*queue.DeadEvent {
	w.Helper()
	var all []*queue.DeadEvent
	for _, msg := range w.stored("DGBOT_DEAD", "dgbot.dead.events.>") {
		e := new(queue.DeadEvent)
		if err := json.Unmarshal(msg.Data, e); err != nil {
			w.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func (w *world) archive() *queue.Archive {
	w.Helper()
	a, err := queue.OpenArchive(w.ctx, w.js, "dgbot")
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func TestEventThatCannotBecomeAPrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.stream("ORDERS", "orders.>")
	s := w.service(late)
	w.publish("orders.delayed.eu", `{"id":null,"days":4}`, "X-Region", "eu", "Nats-Msg-Id", "m-1")
	w.publish("orders.delayed.eu", "\xff\xfe", "X-Region", "eu")
	w.publish("orders.delayed.eu", `{"id":3,"days":4}`)
	w.prompts(1) // one bad event holds up no other
	w.eventually("both are dead letters", func() bool { return len(w.letters()) == 2 })
	letters := w.letters()
	slices.SortFunc(letters, func(a, b *queue.DeadEvent) int { return int(a.Sequence) - int(b.Sequence) })
	first, second := letters[0], letters[1]
	if first.Trigger != "late" || first.Bot != "support" || first.Subject != "orders.delayed.eu" || first.Payload != `{"id":null,"days":4}` || first.Headers["X-Region"][0] != "eu" ||
		first.Stream != "ORDERS" || first.Sequence != 1 || !strings.Contains(first.Reason, "message 1: {{ event.data.id }}: the value is nil") || first.RulesVersion == "" {
		t.Errorf("letter is %+v", first)
	}
	if string(second.Bytes) != "\xff\xfe" || second.Payload != "" {
		t.Errorf("letter is %+v", second)
	}
	w.eventually("they are acknowledged", func() bool {
		c, err := orders.Consumer(w.ctx, "dgbot-trigger-late")
		return err == nil && c.CachedInfo().AckFloor.Stream == 3
	})
	if s.counted("late", failed) != 2 {
		t.Errorf("counted %d", s.counted("late", failed))
	}
}

func TestDeadEventsAreRetriedAndDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.streamOf(jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Duplicates: 100 * time.Millisecond})
	s := w.service(late)
	w.publish("orders.delayed.eu", `{"code":7,"days":4}`, "Nats-Msg-Id", "m-1", "Dgworker-Hops", "2", "X-Region", "eu")
	w.publish("orders.delayed.eu", `{"code":8,"days":4}`)
	w.eventually("both are dead letters", func() bool { return len(w.letters()) == 2 })
	a := w.archive()
	ids := make([]string, 2) // by the order of the events
	for e, err := range a.DeadEvents(w.ctx, queue.EventFilter{Trigger: "late", Bot: "support"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids[e.Sequence-1] = e.ID
	}
	for range a.DeadEvents(w.ctx, queue.EventFilter{Trigger: "other"}) {
		t.Error("a letter of another trigger")
	}
	s.use(strings.Replace(late, "event.data.id }}", "event.data.code }}", 1))
	w.eventually("the stream takes its id again", func() bool { return a.RetryEvent(w.ctx, ids[0]) == nil })
	p := w.prompts(1)[0]
	if p.said() != "order 7 on orders.delayed.eu" || p.ID != ids[0] || p.header.Get("Dgworker-Hops") != "1" {
		t.Errorf("prompt is %+v", p)
	}
	if err := a.DropEvent(w.ctx, ids[1]); err != nil {
		t.Error(err)
	}
	if _, err := a.DeadEvent(w.ctx, ids[1]); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	if left := w.letters(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// A dead letter has room for the headers and the reason too: an event that leaves none is cut.
func TestLargestEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stream("ORDERS", "orders.>")
	w.service(`- {name: late, subject: "orders.>", bot: support, content: "{{ event.data.id }}"}
- {name: echo, subject: "echo", bot: support, content: x, data: "{{ event.data }}"}
`)
	w.publish("orders.eu", strings.Repeat("é", (1<<20)/2-64))
	w.eventually("it is a dead letter", func() bool { return len(w.letters()) == 1 })
	e := w.letters()[0]
	if !e.Truncated || len(e.Payload) < 400<<10 || strings.Trim(e.Payload, "é") != "" {
		t.Errorf("truncated %v, %d bytes", e.Truncated, len(e.Payload))
	}
	if err := w.archive().RetryEvent(w.ctx, e.ID); err == nil || !strings.Contains(err.Error(), "on stream ORDERS at sequence 1") {
		t.Errorf("error is %v", err)
	}
}

// A rule that publishes what a trigger reads goes round until its hops are used up. The prompts stand for the worker here.
func TestLoopIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stream("ORDERS", "orders.>")
	s := w.service(`- {name: round, subject: "orders.>", bot: support, content: again}
`, func(c *Config) { c.MaxHops = 3 })
	w.publish("orders.eu", "x")
	for hop := 1; hop <= 3; hop++ {
		p := w.prompts(hop)[hop-1]
		if got := p.header.Get("Dgworker-Hops"); got != fmt.Sprint(hop) {
			t.Fatalf("hop %d has the header %q", hop, got)
		}
		w.publish("orders.eu", "x", "Dgworker-Hops", p.header.Get("Dgworker-Hops"))
	}
	w.eventually("the fourth is a dead letter", func() bool { return len(w.letters()) == 1 })
	if e := w.letters()[0]; !strings.Contains(e.Reason, "a loop is cut: 3 triggers in a row") {
		t.Errorf("reason is %q", e.Reason)
	}
	w.publish("orders.eu", "x", "Dgworker-Hops", "many")
	w.eventually("a count that is none is a dead letter", func() bool { return len(w.letters()) == 2 })
	w.prompts(3)
	w.eventually("counted", func() bool { return s.counted("round", loop) == 1 && s.counted("round", failed) == 1 })
}

func TestLoopsThatAreCertainAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for subject, refused := range map[string]bool{
		"acme.bot.prompts.support": true, "acme.bot.>": true, "*.bot.prompts.>": true, "acme.*.*.x": true, "acme.bot.dead.events.>": true, "acme.bot.dead.>": true,
		"acme.bot.outcomes.>": false, "acme.bot.dead.prompts.>": false, "dgbot.prompts.>": false, "acme.orders.>": false,
	} {
		err := Check(w.set(fmt.Sprintf("- {name: a, bot: support, content: x, subject: %q}\n", subject)), "acme.bot")
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "rules.yaml:3:1: trigger a listens on "+subject) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}
