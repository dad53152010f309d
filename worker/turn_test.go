package worker_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"dgworker/rules"
	"dgworker/worker"
)

func TestPlainQuestionAndAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", says("Standard shipping takes 5–7 business days."))
	o := w.handle(`{"content":"How long does shipping take?","visitor_id":"v 1/é"}`)
	w.expect(o, worker.Completed, "")
	if o.Response != "Standard shipping takes 5–7 business days." || len(o.Turns) != 1 || o.Turns[0].MessageID != "m0" || !o.Turns[0].Settled {
		t.Errorf("outcome %+v", o)
	}
	if o.VisitorID != "v 1/é" || !reflect.DeepEqual(w.bot.connections(), []string{"v 1/é"}) {
		t.Errorf("visitor %q, the bot saw %q", o.VisitorID, w.bot.connections())
	}
	if o.Attempts != 1 || o.RulesVersion != w.set.Version() || o.Worker == "" || o.StartedAt.IsZero() || o.EndedAt.Before(o.StartedAt.Time) || o.Truncated {
		t.Errorf("outcome %+v", o)
	}
	if records := w.journal.all(); len(records) != 2 || records[0].Begun == nil || records[1].Sent == nil {
		t.Errorf("a visitor who is named costs a claim, a sent mark and the outcome; the journal has %+v", records)
	}
}

func TestWhatAPlainQuestionCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", says("Five to seven days."))
	w.expect(w.handle("How long does shipping take?"), worker.Completed, "")
	if records := w.journal.all(); len(records) != 1 || records[0].Sent == nil {
		t.Errorf("a plain question and answer costs a sent mark and the outcome; the journal has %+v", records)
	}
}

func TestAVisitorIsGeneratedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", talk(func(v *visit) { v.hear(); v.cut() }), says("Hi"))
	o := w.handle("Hello")
	w.expect(o, worker.Completed, "")
	seen := w.bot.connections()
	if len(seen) != 2 || seen[0] != seen[1] || seen[0] != o.VisitorID || len(seen[0]) != 36 || seen[0][14] != '4' {
		t.Errorf("the bot saw the visitors %q, the outcome has %q: want one UUID v4", seen, o.VisitorID)
	}
}

// What one message brings about is one turn, whatever the frames. Each play hears one message first.
func TestTurns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play     func(*visit)
		response string
		interim  []string
		tools    worker.Tools
	}{
		"interim stream, tool, second stream": {func(v *visit) {
			v.stream("m1", "Let me look that up…")
			v.send(calling("lookup"))
			v.pause(2 * settle)
			v.send(returned("lookup", "done"))
			v.stream("m2", "It has left the warehouse.")
		}, "It has left the warehouse.", []string{"Let me look that up…"}, worker.Tools{"lookup": "done"}},
		"a tool still calling holds the turn open": {func(v *visit) {
			v.send(calling("lookup"))
			v.stream("m1", "One moment.")
			v.pause(2 * settle)
			v.send(returned("lookup", "error"))
			v.stream("m2", "It failed.")
		}, "It failed.", []string{"One moment."}, worker.Tools{"lookup": "error"}},
		"two calls of one tool": {func(v *visit) {
			v.send(calling("lookup"), calling("lookup"))
			v.stream("m1", "Twice.")
			v.send(returned("lookup", "done"))
			v.pause(2 * settle)
			v.send(returned("lookup", "error"))
			v.stream("m2", "Done.")
		}, "Done.", []string{"Twice."}, worker.Tools{"lookup": "error"}},
		"a result without a call": {func(v *visit) {
			v.send(returned("lookup", "done"))
			v.stream("m1", "There.")
		}, "There.", nil, worker.Tools{"lookup": "done"}},
		"an open stream holds the turn open": {func(v *visit) {
			v.send(start("m2"))
			v.stream("m1", "First.")
			v.pause(2 * settle)
			v.send(chunk("m2", "Second."), end("m2"))
		}, "Second.", []string{"First."}, worker.Tools{}},
		"interleaved streams": {func(v *visit) {
			v.send(start("a"), start("b"), chunk("b", "The second "), chunk("a", "The first "), chunk("b", "stream."), chunk("a", "stream."), end("a"), end("b"))
		}, "The second stream.", []string{"The first stream."}, worker.Tools{}},
		"chunks and an end without a start": {func(v *visit) {
			v.send(chunk("m", "No "), chunk("m", "start."), end("m"))
		}, "No start.", nil, worker.Tools{}},
		"an end alone":       {func(v *visit) { v.send(end("m")) }, "", nil, worker.Tools{}},
		"without message id": {func(v *visit) { v.send(`{"type":"stream_chunk","content":"Hi"}`, `{"type":"stream_end"}`) }, "Hi", nil, worker.Tools{}},
		"a split surrogate pair": {func(v *visit) {
			v.send(start("m"), `{"type":"stream_chunk","message_id":"m","content":"Smile \ud83d"}`, `{"type":"stream_chunk","message_id":"m","content":"\ude00!"}`, end("m"))
		}, "Smile 😀!", nil, worker.Tools{}},
		"half of a pair that stays alone": {func(v *visit) {
			v.send(start("m"), `{"type":"stream_chunk","message_id":"m","content":"a\ud83d"}`, end("m"))
		}, "a\uFFFD", nil, worker.Tools{}},
		"frames that are none": {func(v *visit) {
			v.send("no json", `{"type":`, `[]`, `null`, `5`, `{"type":5}`, `{}`)
			_ = v.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"stream_end"}`))
			v.send(`{"type":"stream_chunk","message_id":"m","content":"Still here.","extra":{"a":[1]}}`, end("m"))
		}, "Still here.", nil, worker.Tools{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "", "", talk(func(v *visit) { v.hear(); c.play(v) }))
			o := w.handle("Where is it?")
			w.expect(o, worker.Completed, "")
			if len(o.Turns) != 1 || len(w.bot.messages()) != 1 {
				t.Fatalf("%d turns, the bot heard %q", len(o.Turns), w.bot.messages())
			}
			var interim []string
			for _, s := range o.Turns[0].Interim {
				interim = append(interim, s.Text)
			}
			if o.Response != c.response || o.Turns[0].Response != c.response || !reflect.DeepEqual(interim, c.interim) {
				t.Errorf("response %q after %q, want %q after %q", o.Response, interim, c.response, c.interim)
			}
			if !reflect.DeepEqual(o.Tools, c.tools) || !reflect.DeepEqual(o.Turns[0].Tools, c.tools) {
				t.Errorf("tools %v, of the turn %v; want %v", o.Tools, o.Turns[0].Tools, c.tools)
			}
			finals := 0
			for _, e := range o.Turns[0].Events {
				if e.Type == rules.FinalResponse {
					finals++
				}
			}
			if finals != 1 {
				t.Errorf("%d final responses in one turn", finals)
			}
		})
	}
}

// A turn that had all it needs is over when the bot hangs up: nobody waits for the quiet time, or asks again.
func TestCloseRightAfterStreamEnd(t *testing.T) {
	t.Parallel()
	for name, hangUp := range map[string]func(*visit){"closed": (*visit).closeNow, "cut": (*visit).cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "settle: 10m", "", talk(func(v *visit) {
				v.hear()
				v.stream("m1", "Bye.")
				hangUp(v)
			}))
			w.bot.play = append(w.bot.play, says("asked again"))
			o := w.handle(`{"content":"Hello"}`)
			w.expect(o, worker.Completed, "")
			if o.Response != "Bye." || len(w.bot.connections()) != 1 {
				t.Errorf("response %q over %d connections", o.Response, len(w.bot.connections()))
			}
		})
	}
}

// … and the next message of the script goes over another socket, as the same visitor.
func TestTheScriptGoesOnAfterAHangUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", talk(func(v *visit) {
		v.hear()
		v.stream("m1", "One.")
		v.closeNow()
	}), says("Two."))
	o := w.handle(`{"messages":["a","b"]}`)
	w.expect(o, worker.Completed, "")
	if !reflect.DeepEqual(w.bot.messages(), []string{"a", "b"}) || o.Turns[0].Response != "One." || o.Response != "Two." || o.Attempts != 1 {
		t.Errorf("heard %q, outcome %+v", w.bot.messages(), o)
	}
	if seen := w.bot.connections(); seen[0] != seen[1] {
		t.Errorf("visitors %q", seen)
	}
}

func TestSettleOfZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "settle: 0s, turn_timeout: 5s", "", says("Hi"))
	o := w.handle(`{"messages":["a","b","c"]}`)
	w.expect(o, worker.Completed, "")
	if len(o.Turns) != 3 || o.Turns[2].Response != "Hi" {
		t.Errorf("turns %+v", o.Turns)
	}
}

// What the bot says before our first message is kept, and settles nothing. The answer is slower than the quiet time.
func TestGreetings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after func(*visit) }{
		"before our message": {func(v *visit) { v.stream("g", "Welcome!") }, func(*visit) {}},
		"begun before, ended after": {
			func(v *visit) { v.send(start("g"), chunk("g", "Wel")) },
			func(v *visit) { v.send(chunk("g", "come!"), end("g")) },
		},
		"a second one that never ends": {func(v *visit) {
			v.stream("g", "Welcome!")
			v.send(start("g2"), chunk("g2", "and"))
		}, func(*visit) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sending, greeted := make(chan struct{}), make(chan struct{})
			w := newWorld(t, "", "", talk(func(v *visit) {
				<-sending
				c.before(v)
				v.sync()
				close(greeted)
				v.hear()
				c.after(v)
				v.pause(2 * settle)
				v.stream("m1", "The answer.")
			}))
			// The greeting comes while the sent mark is on its way to the journal.
			w.journal.before = func(r *worker.Record) {
				if r.Sent != nil {
					close(sending)
					<-greeted
				}
			}
			o := w.handle("Hello")
			w.expect(o, worker.Completed, "")
			if o.Response != "The answer." || len(o.Turns) != 1 || len(o.Turns[0].Interim) != 0 {
				t.Errorf("response %q, turns %+v", o.Response, o.Turns)
			}
			if len(o.Greeting) != 1 || o.Greeting[0].Text != "Welcome!" || !o.Greeting[0].Greeting {
				t.Errorf("greeting %+v", o.Greeting)
			}
		})
	}
}

// Its quiet time is a long one, so that a busy machine doesn't make a pause of a sixth of it into one of the whole.
func TestWhateverComesStartsTheQuietTimeAnew(t *testing.T) {
	t.Parallel()
	const quiet = 1500 * time.Millisecond
	w := newWorld(t, "settle: "+quiet.String(), "", talk(func(v *visit) {
		v.hear()
		v.stream("m1", "One.")
		for range 8 {
			v.pause(quiet / 6)
			v.send(`{"type":"typing"}`)
		}
		v.stream("m2", "Two.")
	}))
	o := w.handle("Where is it?")
	w.expect(o, worker.Completed, "")
	if o.Response != "Two." || len(o.Turns) != 1 || len(o.Turns[0].Interim) != 1 {
		t.Errorf("response %q, turns %+v", o.Response, o.Turns)
	}
}

func TestEventsBeforeOurMessageAreSeen(t *testing.T) {
	t.Parallel()
	greeted := make(chan struct{})
	w := newWorld(t, "", `  - {name: early, on: unknown, actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.send(`{"type":"presence","online":true}`, calling("warm_up"))
		v.sync()
		close(greeted)
		v.hear()
		v.pause(2 * settle)
		v.stream("m1", "The answer.")
	}))
	w.journal.before = func(*worker.Record) { <-greeted }
	o := w.handle("Hello")
	w.expect(o, worker.Completed, "")
	if o.Response != "The answer." || !reflect.DeepEqual(w.outbox.rules(), []string{"early"}) {
		t.Errorf("response %q, enqueued for %q: a tool called before our message must not hold the turn open", o.Response, w.outbox.rules())
	}
}

func TestUnknownTypesReachRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: typed, on: unknown, when: 'event.raw.type == "form" && event.raw.order == 9007199254740993', actions: [{publish: a.b, body: "{{ event.raw.order }}"}]}
  - {name: more, on: tool_action, when: 'event.raw.args.id == 7', actions: [{publish: a.c}]}
`, talk(func(v *visit) {
		v.hear()
		v.send(`{"type":"form","order":9007199254740993}`, `{"type":"tool_action","tool":"t","status":"calling","args":{"id":7}}`, returned("t", "done"))
		v.stream("m1", "Ok.")
	}))
	o := w.handle("Hello")
	w.expect(o, worker.Completed, "")
	if !reflect.DeepEqual(w.outbox.rules(), []string{"typed", "more"}) || string(w.outbox.list[0].Body) != "9007199254740993" {
		t.Errorf("enqueued %+v, errors %+v", w.outbox.list, o.Errors)
	}
	if strings.Contains(o.Turns[0].Events[0].Content, "form") || o.Turns[0].Events[0].Type != rules.Unknown {
		t.Errorf("events %+v", o.Turns[0].Events)
	}
}
