package worker_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"dgworker/rules"
	"dgworker/worker"
)

const agentRules = `
  - {name: offered, on: handoff_offered, actions: [{publish: a.b, body: "{{ event.message }}"}]}
  - {name: joined, on: agent_joined, actions: [{publish: a.b}]}
  - {name: wrote, on: agent_message, when: 'event.content == "Hello" && event.agent_name == "Maya"', actions: [{publish: a.b}]}
  - {name: left, on: agent_left, actions: [{publish: a.b}]}
  - {name: final, on: final_response, actions: [{publish: a.b}]}
  - {name: ended, on: conversation_ended, when: 'conversation.status == "handoff" && conversation.handed_off', actions: [{publish: a.b}]}
`

func TestHandoff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings string
		play     func(*visit)
		turns    int
		fired    []string
	}{
		"end: once the turn settles": {"on_handoff: end", func(v *visit) {
			v.stream("m1", "I will get somebody.")
			v.send(offer)
			v.pause(settle / 4)
			v.stream("m2", "One moment.")
		}, 1, []string{"offered", "final", "ended"}},
		"end: an offer alone settles": {"on_handoff: end", func(v *visit) { v.send(offer) }, 1, []string{"offered", "ended"}},
		"end: an open stream holds it": {"on_handoff: end", func(v *visit) {
			v.send(start("m"), offer)
			v.pause(2 * settle)
			v.send(chunk("m", "One moment."), end("m"))
		}, 1, []string{"offered", "final", "ended"}},
		"end: the script ends with it": {"on_handoff: end", func(v *visit) { v.send(offer); v.stream("m", "x") }, 1, []string{"offered", "final", "ended"}},
		"wait: until the person leaves": {"on_handoff: wait, turn_timeout: 400ms", func(v *visit) {
			v.stream("m1", "I will get somebody.")
			v.send(offer)
			v.pause(600 * time.Millisecond) // the clock of the turn rests
			v.send(joined, wrote)
			v.pause(100 * time.Millisecond)
			v.send(left)
		}, 1, []string{"offered", "final", "joined", "wrote", "left", "ended"}},
		"wait: nobody says that they leave": {"on_handoff: wait, handoff_wait: 600ms", func(v *visit) {
			v.send(offer)
			v.pause(2 * settle)
			v.send(joined)
		}, 1, []string{"offered", "joined", "ended"}},
		"wait: the person leaves at once": {"on_handoff: wait", func(v *visit) { v.send(offer, joined, left) }, 1, []string{"offered", "joined", "left", "ended"}},
		"wait: nobody comes":              {"on_handoff: wait, handoff_wait: 300ms", func(v *visit) { v.send(offer) }, 1, []string{"offered", "ended"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.settings, agentRules, talk(func(v *visit) { v.hear(); c.play(v) }))
			payload := `{"content":"A person, please"}`
			if name == "end: the script ends with it" {
				payload = `{"messages":["A person, please","Are you there?"]}`
			}
			o := w.handle(payload)
			w.expect(o, worker.Handoff, "")
			if got := w.outbox.rules(); !reflect.DeepEqual(got, c.fired) || len(o.Fired) != len(c.fired) {
				t.Errorf("enqueued for %q, want %q (fired %+v)", got, c.fired, o.Fired)
			}
			if len(o.Turns) != c.turns || len(w.bot.connections()) != 1 || len(w.bot.messages()) != 1 {
				t.Errorf("%d turns, the bot heard %q over %d connections", len(o.Turns), w.bot.messages(), len(w.bot.connections()))
			}
		})
	}
}

// A person leaves who was never offered: the conversation is the bot's still.
func TestAgentWithoutAnOffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "on_handoff: wait", "", talk(func(v *visit) {
		v.hear()
		v.send(joined, wrote, left)
		v.stream("m", "Now me.")
	}))
	o := w.handle("Hello")
	w.expect(o, worker.Completed, "")
	if o.Response != "Now me." || len(o.Turns[0].Events) < 3 {
		t.Errorf("outcome %+v", o)
	}
}

// A socket that is lost while a person is waited for is opened again, with the same deadline and without a message.
func TestTheWaitOutlivesItsSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "on_handoff: wait", agentRules, talk(func(v *visit) {
		v.hear()
		v.send(offer)
		v.sync()
		v.cut()
	}), talk(func(v *visit) { v.send(joined, left) }))
	o := w.handle("A person, please")
	w.expect(o, worker.Handoff, "")
	if got := w.outbox.rules(); !reflect.DeepEqual(got, []string{"offered", "joined", "left", "ended"}) {
		t.Errorf("enqueued for %q", got)
	}
	if seen := w.bot.connections(); len(seen) != 2 || seen[0] != seen[1] || len(w.bot.messages()) != 1 {
		t.Errorf("connections of %q, messages %q", seen, w.bot.messages())
	}
}

// … and the worker's end: another takes the conversation over, until the deadline that the first one journaled.
func TestTheWaitOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	offered := make(chan struct{})
	w := newWorld(t, "on_handoff: wait, handoff_wait: 600ms", agentRules, talk(func(v *visit) {
		v.hear()
		v.send(offer)
		v.sync()
		close(offered)
	}), talk(func(*visit) {}))
	if d := w.lose(job("A person, please", 1), offered, context.Canceled); d.Verb != worker.Nak || d.After != 0 {
		t.Fatalf("a worker that stops does %+v with the prompt, want to hand it back", d)
	}
	w.worker = w.another()
	if d := w.worker.Handle(w.ctx, job("A person, please", 2)); d.Verb != worker.Ack {
		t.Fatalf("the second worker: %+v", d)
	}
	o := w.outcome("job")
	w.expect(o, worker.Handoff, "")
	if took := o.EndedAt.Sub(o.StartedAt.Time); took < 550*time.Millisecond || took > 3*time.Second {
		t.Errorf("took %s, want the deadline that the first worker set", took)
	}
	if o.Attempts != 1 || len(o.History) != 0 || len(w.bot.messages()) != 1 {
		t.Errorf("a drain counts no attempt and sends nothing again: %+v, heard %q", o, w.bot.messages())
	}
}

func TestUnsettledEventsOfAHandoffAreThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", talk(func(v *visit) { v.hear(); v.send(offer) }))
	o := w.handle("A person")
	if o.Turns[0].Events[0].Type != rules.HandoffOffered || o.Turns[0].Events[0].Message != "Shall I get a person?" || o.Response != "" {
		t.Errorf("outcome %+v", o)
	}
}
