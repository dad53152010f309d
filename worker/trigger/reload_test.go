package trigger

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestTriggersReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orders := w.stream("ORDERS", "orders.>", "parcels.>")
	s := w.service(late)
	running := s.snapshot()["late"]

	s.use(strings.Replace(late, "> 3", "> 0", 1)) // only what it makes of an event
	if s.snapshot()["late"] != running {
		t.Error("a trigger that takes the same events was begun anew")
	}
	w.publish("orders.delayed.eu", `{"id":1,"days":1}`)
	w.prompts(1)

	s.use(strings.Replace(late, "orders.delayed.>", "parcels.>", 1)) // where they come from: its consumer stays
	w.publish("orders.delayed.eu", `{"id":2,"days":4}`)
	w.publish("parcels.eu", `{"id":3,"days":4}`)
	if p := w.prompts(2)[1]; p.said() != "order 3 on parcels.eu" {
		t.Errorf("prompt is %v", p)
	}

	s.use(`- {name: other, subject: orders.x, bot: support, content: x}
`)
	w.publish("parcels.eu", `{"id":4,"days":4}`)
	w.publish("orders.x", `{}`)
	if p := w.prompts(3)[2]; p.said() != "x" {
		t.Errorf("prompt is %v", p)
	}

	s.use(strings.Replace(late, "orders.delayed.>", "parcels.>", 1)) // back again: it goes on where it was
	if p := w.prompts(4)[3]; p.said() != "order 4 on parcels.eu" {
		t.Errorf("prompt is %v", p)
	}
	if _, err := orders.Consumer(w.ctx, "dgbot-trigger-other"); err != nil {
		t.Errorf("a worker deleted a consumer: %v", err)
	}
	if err := s.Use(w.ctx, w.set(`- {name: a, subject: dgbot.prompts.x, bot: support, content: x}
`)); err == nil {
		t.Error("a loop was accepted")
	}
	if s.snapshot()["late"] == nil {
		t.Error("rules that were refused changed something")
	}
}

// A consumer that can't be had is logged and tried again, and the others run.
func TestTriggerThatCannotListen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	jobs := w.streamOf(jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.>"}, Retention: jetstream.WorkQueuePolicy})
	if _, err := jobs.CreateConsumer(w.ctx, jetstream.ConsumerConfig{Durable: "theirs"}); err != nil {
		t.Fatal(err)
	}
	s := w.service(`- {name: job, subject: "jobs.>", bot: support, content: job}
- {name: free, subject: free, bot: support, content: free}
`)
	if s.said("a trigger can't be listened for") == 0 {
		t.Errorf("logs: %v", s.logs.All())
	}
	w.publish("free", "x")
	w.prompts(1)
	if err := jobs.DeleteConsumer(w.ctx, "theirs"); err != nil {
		t.Fatal(err)
	}
	w.publish("jobs.a", "x")
	if p := w.prompts(2)[1]; p.said() != "job" {
		t.Errorf("prompt is %v", p)
	}
}
