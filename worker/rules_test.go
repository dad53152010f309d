package worker_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"dgworker/rules"
	"dgworker/worker"
)

// echo answers each message with its own text.
func echo() part {
	return talk(func(v *visit) {
		for m := v.hear(); m != ""; m = v.hear() {
			v.stream("m", "You said: "+m)
		}
	})
}

func TestMessagesAndReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: late, on: final_response, when: 'turn.index == 0', actions: [{reply: "third, to {{ prompt.data.order }}"}]}
  - {name: early, on: final_response, when: 'turn.index == 0', actions: [{reply: "fourth"}]}
  - {name: after, on: final_response, when: 'response.text == "You said: third, to 7"', actions: [{reply: "fifth"}, {publish: a.b}]}
`, echo())
	o := w.handle(`{"content":"first","messages":["second"],"data":{"order":7}}`)
	w.expect(o, worker.Completed, "")
	want := []string{"first", "second", "third, to 7", "fourth", "fifth"}
	if got := w.bot.messages(); !reflect.DeepEqual(got, want) {
		t.Fatalf("the bot heard %q, want %q", got, want)
	}
	if len(w.bot.connections()) != 1 || len(o.Turns) != 5 || o.Response != "You said: fifth" {
		t.Errorf("%d connections, %d turns, response %q", len(w.bot.connections()), len(o.Turns), o.Response)
	}
	for i, turn := range o.Turns {
		if turn.Message != want[i] || turn.Response != "You said: "+want[i] || !turn.Settled {
			t.Errorf("turn %d is %+v", i, turn)
		}
	}
	if len(o.Fired) != 4 || o.Fired[0].Action != rules.KindReply || len(w.outbox.rules()) != 1 {
		t.Errorf("fired %+v, enqueued %q", o.Fired, w.outbox.rules())
	}
	if !reflect.DeepEqual(o.Prompt.Messages, []string{"first", "second"}) || o.Prompt.Content != "first" {
		t.Errorf("prompt %+v", o.Prompt)
	}
}

func TestMaxTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_turns: 3", `  - {name: again, on: final_response, actions: [{reply: "more"}, {publish: a.b}]}
`, echo())
	o := w.handle("start")
	w.expect(o, worker.Completed, "")
	if len(o.Turns) != 3 || len(w.bot.messages()) != 3 {
		t.Errorf("%d turns, want max_turns", len(o.Turns))
	}
	if len(o.Suppressed) != 1 || o.Suppressed[0].Why != rules.TurnLimit || o.Suppressed[0].Rule != "again" || !strings.Contains(o.Suppressed[0].Reason, "max_turns") {
		t.Errorf("suppressed %+v", o.Suppressed)
	}
	if got := w.outbox.rules(); len(got) != 3 {
		t.Errorf("enqueued %q: what is no reply goes on", got)
	}
	rejected := newWorld(t, "max_turns: 3", "", echo())
	o = rejected.handle(`{"messages":["a","b","c","d"]}`)
	rejected.expect(o, worker.Rejected, "4 messages")
}

func TestReplyAfterAHandoffThatEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: beg, on: [handoff_offered, final_response], actions: [{reply: "please don't"}]}
`, talk(func(v *visit) { v.hear(); v.send(offer); v.stream("m", "Bye.") }))
	o := w.handle("Hi")
	w.expect(o, worker.Handoff, "")
	if len(o.Suppressed) == 0 || !strings.Contains(o.Suppressed[len(o.Suppressed)-1].Reason, "person") || len(w.bot.messages()) != 1 {
		t.Errorf("suppressed %+v, fired %+v, heard %q", o.Suppressed, o.Fired, w.bot.messages())
	}
}

func TestDecisionsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: turn-once, on: tool_action_result, once: turn, actions: [{publish: a.turn}]}
  - {name: ever-once, on: tool_action_result, once: conversation, actions: [{webhook: hook, path: /x}]}
  - {name: broken, on: tool_action_result, when: 'prompt.data.order.id > 3', actions: [{publish: a.never}]}
  - {name: watched, on: tool_action_result, mode: shadow, actions: [{publish: a.shadow}]}
  - {name: off, on: tool_action_result, mode: "off", actions: [{publish: a.off}]}
  - {name: untrue, on: tool_action_result, when: 'event.tool == "none"', actions: [{publish: a.untrue}]}
  - {name: cooled, on: tool_action_result, cooldown: {for: 1h}, actions: [{publish: a.cooled}]}
  - {name: end, on: conversation_ended, when: 'conversation.turns == 2 && conversation.tools.t == "done"', actions: [{publish: "a.{{ conversation.status }}"}]}
`, talk(func(v *visit) {
		for m := v.hear(); m != ""; m = v.hear() {
			v.send(calling("t"), returned("t", "done"), calling("t"), returned("t", "done"))
			v.stream("m", "ok")
		}
	}))
	o := w.handle(`{"messages":["a","b"]}`)
	w.expect(o, worker.Completed, "")
	count := map[string]int{}
	for _, f := range o.Fired {
		count["fired "+f.Rule]++
		if f.ID == "" || f.N == 0 || f.Event == "" {
			t.Errorf("fired %+v", f)
		}
	}
	for _, s := range o.Suppressed {
		count[string(s.Why)+" "+s.Rule]++
	}
	for _, e := range o.Errors {
		count["error "+e.Rule]++
		if e.Reason == "" {
			t.Errorf("an error without a reason: %+v", e)
		}
	}
	for _, s := range o.Shadow {
		count["shadow "+s.Rule]++
	}
	want := map[string]int{
		"fired turn-once": 2, "once turn-once": 2, "fired ever-once": 1, "once ever-once": 3, "error broken": 4, "shadow watched": 4,
		"fired cooled": 1, "cooldown cooled": 3, "fired end": 1,
	}
	if !reflect.DeepEqual(count, want) {
		t.Errorf("decisions %v\nwant %v", count, want)
	}
	if got := w.outbox.rules(); len(got) != 5 {
		t.Errorf("enqueued %q", got)
	}
	last := w.outbox.list[len(w.outbox.list)-1]
	if last.Subject != "a.completed" || last.Event != "conversation_ended" || last.Prompt != "job" || last.Bot != "support" || last.CreatedAt.IsZero() {
		t.Errorf("delivery %+v", last)
	}
	for _, s := range o.Suppressed {
		if s.Why == rules.Cooldown && (s.Until.Before(time.Now().Add(50*time.Minute)) || s.Until.After(time.Now().Add(61*time.Minute))) {
			t.Errorf("cooldown until %s", s.Until)
		}
	}
}

// Nothing goes out before it is in the journal: the record of an event with its decisions comes before the delivery.
func TestJournalBeforeOutbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: seen, on: [tool_action, tool_action_result, final_response, conversation_ended], actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.hear()
		v.send(calling("t"), returned("t", "done"))
		v.stream("m", "ok")
	}))
	w.outbox.fails = func() error {
		actions := 0
		for _, r := range w.journal.all() {
			for _, s := range r.Seen {
				for _, d := range s.Decisions {
					actions += len(d.Actions)
				}
			}
		}
		if actions <= len(w.outbox.list) {
			t.Errorf("%d actions are journaled, and number %d is enqueued", actions, len(w.outbox.list)+1)
		}
		return nil
	}
	w.expect(w.handle("Hi"), worker.Completed, "")
	if got := w.outbox.rules(); len(got) != 4 {
		t.Errorf("enqueued %q", got)
	}
}

func TestReplyTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", echo())
	inbox := w.nc.NewInbox()
	sub, err := w.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	w.handle(`{"content":"Hi","reply_to":"` + inbox + `"}`)
	msg, err := sub.NextMsgWithContext(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var o worker.Outcome
	if err := json.Unmarshal(msg.Data, &o); err != nil || o.ID != "job" || o.Status != worker.Completed || msg.Header.Get("ce-type") != "dgworker.outcome.completed" {
		t.Errorf("reply %s %v, %v", msg.Data, msg.Header, err)
	}
	other := newWorld(t, "", "", echo())
	o = *other.handle(`{"content":"Hi","reply_to":"dgbot.prompts.support"}`)
	other.expect(&o, worker.Rejected, "reply_to")
}

func TestRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: ended, on: conversation_ended, actions: [{publish: a.b}]}
`, echo())
	o := w.handle(`{"content":5}`)
	w.expect(o, worker.Rejected, `"content" is a JSON number`)
	if o.Prompt.Payload != `{"content":5}` || o.Attempts != 0 || len(o.Turns) != 0 || len(w.bot.connections()) != 0 || len(w.outbox.rules()) != 0 {
		t.Errorf("outcome %+v", o)
	}
	unknown := newWorld(t, "", "", echo())
	j := job("Hi", 1)
	j.Bot, j.NoSuchBot = "nobody", true
	if d := unknown.worker.Handle(unknown.ctx, j); d.Verb != worker.Ack {
		t.Errorf("disposition %+v", d)
	}
	unknown.expect(unknown.outcome("job"), worker.Rejected, `"nobody"`)
}

// An id that has its outcome is not run again, wherever it comes from.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", echo())
	w.handle(`{"content":"Hi"}`)
	for name, j := range map[string]*worker.Job{
		"the same message again": job("Hi", 2),
		"another message":        {Bot: "support", Payload: []byte(`{"content":"other","id":"job"}`), PositionID: "p2", Hold: worker.Hold{Seq: 2, N: 1}},
		"one that is not valid":  {Bot: "support", Payload: []byte(`{"content":5,"id":"job"}`), PositionID: "p3", Hold: worker.Hold{Seq: 3, N: 1}},
	} {
		if d := w.worker.Handle(w.ctx, j); d.Verb != worker.Ack {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if len(w.bot.messages()) != 1 {
		t.Errorf("the bot heard %q", w.bot.messages())
	}
	if o := w.outcome("job"); o.Status != worker.Completed {
		t.Errorf("outcome %+v", o)
	}
}

// While one message with an id is being handled, a second one waits, whatever it says and wherever it is: it must not
// take the first one's outcome.
func TestADuplicateWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{"valid": `{"content":"other","id":"job"}`, "not valid": `{"content":5,"id":"job"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, answer := make(chan struct{}), make(chan struct{})
			w := newWorld(t, "", "", talk(func(v *visit) {
				v.hear()
				close(asked)
				<-answer
				v.stream("m", "ok")
			}), talk(func(v *visit) { v.hear() }))
			first := make(chan worker.Disposition)
			go func() { first <- w.worker.Handle(w.ctx, job("Hi", 1)) }()
			<-asked
			second := &worker.Job{Bot: "support", Payload: []byte(payload), PositionID: "p2", Hold: worker.Hold{Seq: 2, N: 1}}
			if d := w.worker.Handle(w.ctx, second); d.Verb != worker.Leave {
				t.Errorf("in the same process: %+v", d)
			}
			if d := w.another().Handle(w.ctx, second); d.Verb != worker.Nak || d.After == 0 {
				t.Errorf("in another process: %+v", d)
			}
			close(answer)
			if d := <-first; d.Verb != worker.Ack {
				t.Errorf("the first: %+v", d)
			}
			w.expect(w.outcome("job"), worker.Completed, "")
		})
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: seen, on: tool_action, actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.hear()
		v.send(calling("t"), returned("t", "done"))
		v.stream("m", "ok")
	}))
	var got []string
	made, err := worker.New(worker.Config{
		Journal: w.journal, Outcomes: w.queue.Outcomes, Outbox: w.outbox,
		Reply: func(s string) bool { return s == "_INBOX.a" }, Live: func(s string, l *worker.Live) { got = append(got, s+" "+l.Type) },
	}, w.set)
	if err != nil {
		t.Fatal(err)
	}
	j := job("Hi", 1)
	j.Headers[worker.HeaderLive] = []string{"_INBOX.a"}
	made.Handle(w.ctx, j)
	want := "visitor,tool_action,fired,tool_action_result,stream_start,stream_chunk,stream_end"
	if all := strings.ReplaceAll(strings.Join(got, ","), "_INBOX.a ", ""); all != want {
		t.Errorf("watched %s, want %s", all, want)
	}
	got = nil
	j = &worker.Job{Bot: "support", Payload: []byte("Hi"), PositionID: "p9", Headers: map[string][]string{worker.HeaderLive: {"orders.new"}}}
	made.Handle(w.ctx, j)
	if len(got) != 0 {
		t.Errorf("watched on a subject that is not allowed: %q", got)
	}
}

// A panic of one prompt is that prompt's end, and no other's.
func TestAPanicFailsOnePrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_attempts: 2", `  - {name: seen, on: tool_action, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.hear(); v.send(calling("t")) }))
	w.outbox.fails = func() error { panic("out of the outbox") }
	d := w.worker.Handle(w.ctx, job("Hi", 1))
	if d.Verb != worker.Nak {
		t.Errorf("disposition %+v", d)
	}
	if len(w.logs.FilterMessageSnippet("panic").All()) != 1 {
		t.Errorf("logs %v", w.logs.All())
	}
}

func TestOutboxTroubleIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "resume_wait: 1s", `  - {name: seen, on: tool_action, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.hear(); v.send(calling("t")) }), talk(func(v *visit) {
		v.send(returned("t", "done"))
		v.stream("m", "ok")
	}))
	tries := 0
	w.outbox.fails = func() error {
		if tries++; tries == 1 {
			return errors.New("no disk")
		}
		return nil
	}
	o := w.handle("Hi")
	w.expect(o, worker.Completed, "")
	if got := w.outbox.rules(); len(got) != 1 || len(w.bot.messages()) != 1 {
		t.Errorf("enqueued %q, the bot heard %q", got, w.bot.messages())
	}
}
