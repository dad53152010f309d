package trigger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const late = `- {name: late, subject: "orders.delayed.>", bot: support, when: event.data.days > 3, content: "order {{ event.data.id }} on {{ event.subject }}", data: "{{ event.data }}"}
`

func TestEventOfAStreamMakesAPrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.stream("ORDERS", "orders.>")
	w.publish("orders.delayed.eu", `{"id":1,"days":9}`) // before the trigger: not its business
	s := w.service(late)
	w.publish("orders.delayed.eu", `{"id":2,"days":4}`)
	w.publish("orders.delayed.eu", `{"id":3,"days":3}`)
	w.publish("orders.paid.eu", `{"id":4,"days":9}`)
	p := w.prompts(1)[0]
	if p.subject != "dgbot.prompts.support" || p.said() != "order 2 on orders.delayed.eu" || string(p.Data) != `{"days":4,"id":2}` {
		t.Errorf("prompt is %+v", p)
	}
	if p.ID != p.header.Get("Nats-Msg-Id") || !strings.HasPrefix(p.ID, "late-") || p.header.Get("Dgworker-Hops") != "1" || p.header.Get("Dgworker-Trigger") != "late" {
		t.Errorf("id %q, headers %v", p.ID, p.header)
	}
	w.eventually("all is acknowledged", func() bool {
		c, err := orders.Consumer(w.ctx, "dgbot-trigger-late")
		return err == nil && c.CachedInfo().AckFloor.Stream == 3 && c.CachedInfo().NumPending == 0
	})
	if s.counted("late", prompted) != 1 || s.counted("late", unmet) != 1 || s.said("at most once") != 0 {
		t.Errorf("counted %d and %d, logs %v", s.counted("late", prompted), s.counted("late", unmet), s.logs.All())
	}
}

func TestEventsWhileNoWorkerRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stream("ORDERS", "orders.>")
	w.service(late).Stop(w.ctx)
	for i := range 20 {
		w.publish("orders.delayed.eu", fmt.Sprintf(`{"id":%d,"days":4}`, i))
	}
	a, b := w.service(late), w.service(late)
	w.prompts(20)
	w.eventually("both have counted", func() bool { return a.counted("late", prompted)+b.counted("late", prompted) == 20 })
}

func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.stream("ORDERS", "orders.>")
	w.publish("orders.delayed.eu", `{"id":1,"days":4}`)
	w.eventually("the first is stored", func() bool { info, err := orders.Info(w.ctx); return err == nil && info.State.LastSeq == 1 })
	since := time.Now()
	w.publish("orders.delayed.eu", `{"id":2,"days":4}`)
	w.service(fmt.Sprintf(`- {name: all, subject: orders.delayed.eu, bot: support, start: all, content: "all {{ event.data.id }}"}
- {name: since, subject: orders.*.eu, bot: support, start: "%s", content: "since {{ event.data.id }}"}
- {name: new, subject: orders.delayed.*, bot: support, start: new, content: "new {{ event.data.id }}"}
`, since.Format(time.RFC3339Nano)))
	w.publish("orders.delayed.eu", `{"id":3,"days":4}`)
	said := map[string]bool{}
	for _, p := range w.prompts(6) {
		said[p.said()] = true
	}
	for _, want := range []string{"all 1", "all 2", "all 3", "since 2", "since 3", "new 3"} {
		if !said[want] {
			t.Errorf("no prompt %q in %v", want, said)
		}
	}
}

// What is delivered again makes the same prompt, by whichever id the event has.
func TestSameEventSamePrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.stream("ORDERS", "orders.>")
	s := w.service(late)
	w.publish("orders.delayed.eu", `{"id":1,"days":4}`)
	w.publish("orders.delayed.eu", `{"id":2,"days":4}`, "Nats-Msg-Id", "m")
	w.publish("orders.delayed.eu", `{"id":3,"days":4}`, "ce-id", "e", "ce-source", "/a")
	w.publish("orders.delayed.eu", `{"id":4,"days":4}`, "ce-id", "e", "ce-source", "/b")
	before := w.prompts(4)
	s.Stop(w.ctx)
	if err := orders.DeleteConsumer(w.ctx, "dgbot-trigger-late"); err != nil {
		t.Fatal(err)
	}
	prompts, err := w.js.Stream(w.ctx, "DGBOT_PROMPTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := prompts.Purge(w.ctx); err != nil { // they were run; the window of their ids is still open
		t.Fatal(err)
	}
	again := w.service(strings.Replace(late, "bot:", "start: all, bot:", 1))
	w.eventually("all come again as duplicates", func() bool { return again.counted("late", duplicate) == 4 })
	seen := map[string]bool{}
	for _, p := range before {
		seen[p.ID] = true
	}
	if len(seen) != 4 {
		t.Errorf("four events have the ids %v", seen)
	}
}

func TestEventsKeepTheirOrderPerVisitor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stream("ORDERS", "orders.>")
	const named = `- {name: late, subject: "orders.>", bot: support, visitor_id: "order {{ event.data.id }}", content: "{{ event.data.n }}"}
`
	w.service(named)
	w.service(named)
	w.service(named)
	const n = 60
	for i := range n {
		w.publish("orders.eu", fmt.Sprintf(`{"id":"é%d","n":%d}`, i%2, i))
	}
	last := map[string]int{}
	for _, p := range w.prompts(n) {
		var i int
		if _, err := fmt.Sscan(p.said(), &i); err != nil {
			t.Fatal(err)
		}
		if before, there := last[p.VisitorID]; there && i < before {
			t.Fatalf("event %d of %s came after %d", i, p.VisitorID, before)
		}
		last[p.VisitorID] = i
		if p.subject != "dgbot.prompts.support.=b3JkZXIgw6kw" && p.subject != "dgbot.prompts.support.=b3JkZXIgw6kx" {
			t.Fatalf("subject is %s", p.subject)
		}
	}
	if len(last) != 2 {
		t.Errorf("visitors %v", last)
	}
}

// Several streams hold parts of the subject, and another part none does: each event makes one prompt.
func TestSeveralStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stream("EU", "orders.eu.>", "invoices.eu")
	w.stream("US", "orders.us.*", "orders.ca")
	s := w.service(`- {name: all, subject: "orders.>", bot: support, content: "{{ event.subject }}"}
- {name: some, subject: "orders.*.new", bot: support, content: "some {{ event.subject }}"}
`)
	if s.said("streams hold only a part") != 2 {
		t.Errorf("logs: %v", s.logs.All())
	}
	for _, subject := range []string{"orders.eu.new", "orders.eu.old.er", "orders.us.new", "orders.ca", "orders.jp.new", "orders", "invoices.eu"} {
		w.publish(subject, "x")
	}
	said := map[string]int{}
	for _, p := range w.prompts(8) {
		said[p.said()]++
	}
	for _, want := range []string{"orders.eu.new", "orders.eu.old.er", "orders.us.new", "orders.ca", "orders.jp.new", "some orders.eu.new", "some orders.us.new", "some orders.jp.new"} {
		if said[want] != 1 {
			t.Errorf("%d prompts %q in %v", said[want], want, said)
		}
	}
}

func TestWorkQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jobs := w.streamOf(jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.>"}, Retention: jetstream.WorkQueuePolicy})
	w.publish("jobs.a", "1")
	w.service(`- {name: job, subject: "jobs.>", bot: support, content: "job {{ event.data }}"}
`)
	w.prompts(1)
	w.publish("jobs.a", "2")
	if p := w.prompts(2); p[0].said() != "job 1" || p[1].said() != "job 2" {
		t.Errorf("prompts are %v", p)
	}
	w.eventually("the queue is empty", func() bool { info, err := jobs.Info(w.ctx); return err == nil && info.State.Msgs == 0 })
}

func TestNoStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.service(late), w.service(late)
	for i := range 20 {
		w.publish("orders.delayed.eu", fmt.Sprintf(`{"id":%d,"days":4}`, i))
	}
	w.prompts(20)
	w.publish("orders.delayed.eu", `{"id":1,"days":4}`, "Nats-Msg-Id", "m")
	w.prompts(21)
	w.publish("orders.delayed.eu", `{"id":1,"days":4}`, "Nats-Msg-Id", "m")
	w.eventually("the second is a duplicate", func() bool { return a.counted("late", duplicate)+b.counted("late", duplicate) == 1 })
	for _, s := range []*service{a, b} {
		if s.said("no stream holds a trigger's subject") != 1 {
			t.Errorf("logs: %v", s.logs.All())
		}
	}
}

// A stream that comes while the worker runs takes over, and one that goes gives back.
func TestStreamsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(late)
	stream := w.stream("ORDERS", "orders.>")
	w.eventually("the stream has its consumer", func() bool { _, err := stream.Consumer(w.ctx, "dgbot-trigger-late"); return err == nil })
	w.eventually("the queue group leaves its subjects alone", func() bool {
		return len(*s.snapshot()["late"].held.Load()) == 1
	})
	w.publish("orders.delayed.eu", `{"id":1,"days":4}`)
	w.prompts(1)
	if err := w.js.DeleteStream(w.ctx, "ORDERS"); err != nil {
		t.Fatal(err)
	}
	w.eventually("the queue group takes them again", func() bool { return len(*s.snapshot()["late"].held.Load()) == 0 })
	w.publish("orders.delayed.eu", `{"id":2,"days":4}`)
	if p := w.prompts(2); p[1].said() != "order 2 on orders.delayed.eu" {
		t.Errorf("prompts are %v", p)
	}
}

func TestIntersect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{
		{"a.>", "a.b.>", "a.b.>"}, {"a.*", "a.b", "a.b"}, {"a.*.c", "a.b.*", "a.b.c"}, {">", "a.*", "a.*"}, {"a.>", "a.>", "a.>"},
		{"a.>", "a", ""}, {"a.b", "a.b.c", ""}, {"a.*", "b.*", ""}, {"*.b.>", "a.*.c.d", "a.b.c.d"}, {"a", "a", "a"}, {"a.b", "a.>", "a.b"},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got, ok := intersect(pair[0], pair[1])
			if !ok {
				got = ""
			}
			if got != c.want {
				t.Errorf("%s and %s have %q in common, want %q", pair[0], pair[1], got, c.want)
			}
		}
	}
}
