package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// Every role does all of its work under deploy/nats.conf, in which everything else is denied, and nothing is refused.
func TestRolesUnderTheirPermissions(t *testing.T) {
	p := startPermitted(t)
	_, anything := p.as("test")
	if _, err := anything.CreateStream(p.ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*.eu"}}); err != nil {
		t.Fatal(err)
	}
	sim, hook := p.bot(), startReceiver(t)
	file := p.rules(sim.URL(), hook.URL, "one", "")
	a := p.worker(file)
	b := p.worker(file) // everything is there already

	reader, readerJS := p.as("reader")
	outcomes := p.follow(reader, "dgbot.outcomes.>")
	shop, _ := p.as("shop")
	heard := p.follow(shop, "backoffice.>")

	_, before := p.as("worker") // one that had a prompt and let go of it
	if _, err := before.Publish(p.ctx, "dgbot.journal.taken", []byte(`{"writer":"gone","failed":{"attempt":1,"reason":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	_, producer := p.as("producer")
	for _, prompt := range []struct{ subject, payload string }{
		{"dgbot.prompts.support", `{"id":"plain","content":"refund 1"}`},
		{"dgbot.prompts.support.lane-1", `{"id":"laned","content":"hello"}`},
		{"dgbot.prompts.support.lane-1", `{"id":"again","content":"hello"}`}, // its visitor's claims are taken
		{"dgbot.prompts.support.lane-1", `{"id":"other","content":"hello","visitor_id":"v-2"}`},
		{"dgbot.prompts.support", `{"id":"taken","content":"hello"}`},
		{"dgbot.prompts.support", `{"id":"failed","content":"drop"}`},
		{"dgbot.prompts.nobody", `{"id":"unknown","content":"x"}`},
	} {
		if _, err := producer.Publish(p.ctx, prompt.subject, []byte(prompt.payload)); err != nil {
			t.Fatal(err)
		}
	}
	wanted := map[string]bool{"plain": true, "laned": true, "again": true, "other": true, "failed": true, "unknown": true, "taken": true}
	p.outcome(outcomes, "every prompt", func(o *worker.Outcome) bool { delete(wanted, o.ID); return len(wanted) == 0 })
	p.until("what rules publish", heard, func(m *nats.Msg) bool { return m.Subject == "backoffice.plain" })
	if path := <-hook.posts; path != "/plain" { // at the second attempt: a schedule
		t.Errorf("the receiver took %s", path)
	}

	for _, place := range []string{"eu", "us.east"} { // one that a stream holds, one that none does
		if err := shop.Publish("orders.delayed."+place, fmt.Appendf(nil, `{"id":%q}`, place)); err != nil {
			t.Fatal(err)
		}
		p.outcome(outcomes, "the event in "+place, func(o *worker.Outcome) bool { return o.VisitorID == "order-"+place })
	}
	p.outcome(outcomes, "the schedule", func(o *worker.Outcome) bool { return o.Prompt.Content == "tick one" })
	if err := shop.Publish("orders.delayed.bad.one", []byte("no id")); err != nil {
		t.Fatal(err)
	}

	asker, _ := p.as("asker")
	answer, err := asker.Request("dgbot.ask.support", []byte("hello"), patience)
	if err != nil {
		t.Fatalf("%v; violations: %v", err, p.logged())
	}
	if !strings.Contains(string(answer.Data), `"status":"completed"`) {
		t.Errorf("answer is %s", answer.Data)
	}
	if ping, err := asker.Request("$SRV.PING.dgworker", nil, patience); err != nil || !strings.Contains(string(ping.Data), `"name":"dgworker"`) {
		t.Errorf("ping: %v", err)
	}

	p.rules(sim.URL(), hook.URL, "two", file)
	for _, w := range []*App{a, b} {
		if err := w.Reload(p.ctx); err != nil {
			t.Fatal(err)
		}
	}
	p.outcome(outcomes, "the schedule after the reload", func(o *worker.Outcome) bool { return o.Prompt.Content == "tick two" })

	p.reads(readerJS)
	p.operates()
	for _, w := range []*App{a, b} {
		if err := w.Stop(p.ctx); err != nil {
			t.Error(err)
		}
	}
	if got := p.logged(); len(got) > 0 {
		t.Errorf("%d violations:\n%s", len(got), strings.Join(got, "\n"))
	}
}

// reads does with the outcomes what a consumer of somebody else does.
func (p *permitted) reads(js jetstream.JetStream) {
	p.Helper()
	stream, err := js.Stream(p.ctx, "DGBOT_OUTCOMES")
	if err != nil {
		p.Fatal(err)
	}
	for _, durable := range []string{"", "books"} {
		c, err := stream.CreateOrUpdateConsumer(p.ctx, jetstream.ConsumerConfig{Durable: durable, FilterSubject: "dgbot.outcomes.support.>", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			p.Fatal(err)
		}
		m, err := c.Next()
		if err != nil {
			p.Fatal(err)
		}
		if err := m.DoubleAck(p.ctx); err != nil {
			p.Fatal(err)
		}
	}
	if _, err := stream.GetLastMsgForSubject(p.ctx, "dgbot.outcomes.*.*.plain"); err != nil {
		p.Fatal(err)
	}
}

// operates does what the commands dead, deliveries, outcomes, watch, ask and rules do.
func (p *permitted) operates() {
	p.Helper()
	nc, js := p.as("operator")
	outcomes := p.follow(nc, "dgbot.outcomes.>")
	prompts, err := queue.OpenArchive(p.ctx, js, "dgbot")
	if err != nil {
		p.Fatal(err)
	}
	actions, err := outbox.OpenArchive(p.ctx, js, "")
	if err != nil {
		p.Fatal(err)
	}
	if _, err := prompts.Outcome(p.ctx, "plain"); err != nil {
		p.Fatal(err)
	}
	for _, err := range prompts.Outcomes(p.ctx, queue.Filter{Bot: "support"}) {
		if err != nil {
			p.Fatal(err)
		}
	}
	if versions, err := prompts.Versions(p.ctx); err != nil || len(versions) != 2 {
		p.Fatalf("%d versions, %v", len(versions), err)
	}
	id, err := prompts.RetryPrompt(p.ctx, "failed")
	if err != nil {
		p.Fatal(err)
	}
	p.outcome(outcomes, "the prompt that is run again", func(o *worker.Outcome) bool { return o.ID == id })
	if err := prompts.DropPrompt(p.ctx, "unknown"); err != nil {
		p.Fatal(err)
	}
	p.operatesOnEvents(prompts)
	p.operatesOnActions(actions)
	inbox := nc.NewRespInbox()
	live := p.follow(nc, inbox)
	watched := &nats.Msg{Subject: "dgbot.prompts.support", Data: []byte("hello"), Header: nats.Header{worker.HeaderLive: {inbox}}}
	if _, err := js.PublishMsg(p.ctx, watched); err != nil {
		p.Fatal(err)
	}
	p.until("the live view", live, func(*nats.Msg) bool { return true })
}

func (p *permitted) operatesOnEvents(prompts *queue.Archive) {
	p.Helper()
	var dead []string
	p.eventually("an event is dead", func() bool {
		for e, err := range prompts.DeadEvents(p.ctx, queue.EventFilter{}) {
			if err != nil {
				p.Fatalf("%v; violations: %v", err, p.logged())
			}
			dead = append(dead, e.ID)
		}
		return len(dead) > 0
	})
	if err := prompts.RetryEvent(p.ctx, dead[0]); err != nil {
		p.Fatal(err)
	}
}

func (p *permitted) operatesOnActions(actions *outbox.Archive) {
	p.Helper()
	items := 0
	for _, err := range actions.List(p.ctx, outbox.Filter{}) {
		if err != nil {
			p.Fatal(err)
		}
		items++
	}
	if items == 0 {
		p.Fatal("no actions")
	}
	var dead, gone []string
	p.eventually("actions are dead and an endpoint is disabled", func() bool {
		dead, gone = nil, nil
		for item, err := range actions.DeadList(p.ctx, outbox.Filter{}) {
			if err != nil {
				p.Fatal(err)
			}
			dead = append(dead, item.Delivery.ID)
		}
		disabled, err := actions.Disabled(p.ctx)
		if err != nil {
			p.Fatal(err)
		}
		for _, d := range disabled {
			gone = append(gone, d.Endpoint)
		}
		return len(dead) >= 2 && len(gone) == 1
	})
	if err := errors.Join(actions.Retry(p.ctx, dead[0]), actions.Drop(p.ctx, dead[1]), actions.Enable(p.ctx, gone[0])); err != nil {
		p.Fatalf("%v; violations: %v", err, p.logged())
	}
}

// eventually waits for a state that nothing announces.
func (p *permitted) eventually(what string, is func() bool) {
	p.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			p.Fatalf("not in time: %s; violations: %v", what, p.logged())
		}
	}
}

// What a role isn't for is denied.
func TestRolesAreKeptApart(t *testing.T) {
	p := startPermitted(t)
	_, anything := p.as("test")
	for name, subject := range map[string]string{"DGBOT_PROMPTS": "dgbot.prompts.>", "DGBOT_OUTCOMES": "dgbot.outcomes.>", "ORDERS": "orders.>"} {
		if _, err := anything.CreateStream(p.ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	for role, denied := range map[string]struct{ publish, subscribe []string }{
		"worker": {
			[]string{"orders.paid", "$JS.API.STREAM.DELETE.DGBOT_PROMPTS", "$JS.API.STREAM.UPDATE.DGBOT_PROMPTS", "$JS.API.CONSUMER.DELETE.DGBOT_PROMPTS.bot-support",
				"$JS.API.STREAM.PURGE.ORDERS", "$JS.API.CONSUMER.CREATE.ORDERS.mine", "$JS.API.STREAM.CREATE.MINE", "$KV.OTHERS.a"},
			[]string{">", "_INBOX.>", "_INBOX_asker.>", "orders.paid", "dgbot.prompts.>", "backoffice.>"},
		},
		"producer": {
			[]string{"dgbot.outcomes.support.completed.x", "dgbot.actions.hook.x.todo", "dgbot.ask.support", "$JS.API.STREAM.INFO.DGBOT_PROMPTS", "$JS.API.CONSUMER.CREATE.DGBOT_PROMPTS.a"},
			[]string{"dgbot.prompts.>", "dgbot.outcomes.>", "_INBOX_asker.>"},
		},
		"reader": {
			[]string{"dgbot.prompts.support", "dgbot.outcomes.support.completed.x", "$JS.API.STREAM.PURGE.DGBOT_OUTCOMES", "$JS.API.STREAM.MSG.DELETE.DGBOT_OUTCOMES", "$JS.API.STREAM.MSG.GET.DGBOT_PROMPTS"},
			[]string{"dgbot.prompts.>", "backoffice.>"},
		},
		"asker": {
			[]string{"dgbot.prompts.support", "$JS.API.STREAM.NAMES", "_INBOX_operator.x"},
			[]string{"dgbot.ask.support", "dgbot.outcomes.>", "_INBOX_worker.>"},
		},
		"operator": {
			[]string{"dgbot.journal.x", "dgbot.outcomes.support.completed.x", "$JS.API.STREAM.DELETE.DGBOT_DEAD", "$JS.API.STREAM.PURGE.DGBOT_PROMPTS", "$KV.DGBOT_CLAIMS.x"},
			[]string{"dgbot.prompts.>", "_INBOX_worker.>"},
		},
		"shop": {
			[]string{"dgbot.prompts.support", "backoffice.x", "$JS.API.STREAM.NAMES"},
			[]string{"dgbot.>", "orders.>"},
		},
	} {
		nc, _ := p.as(role)
		for _, subject := range denied.publish {
			before := len(p.logged())
			if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
				t.Fatal(err)
			}
			if len(p.logged()) != before+1 {
				t.Errorf("%s may publish on %s", role, subject)
			}
		}
		for _, subject := range denied.subscribe {
			before := len(p.logged())
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if len(p.logged()) != before+1 {
				t.Errorf("%s may subscribe to %s", role, subject)
			}
		}
	}
}
