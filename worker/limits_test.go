package worker_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dgworker/worker"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings string
		payload  string
		play     func(*visit)
		reason   string
	}{
		"turn_timeout, silence":     {"turn_timeout: 150ms", "Hi", func(*visit) {}, "turn_timeout"},
		"turn_timeout, a tool":      {"turn_timeout: 150ms", "Hi", func(v *visit) { v.stream("m", "x"); v.send(calling("t")) }, "turn_timeout"},
		"turn_timeout, chatter":     {"turn_timeout: 300ms, settle: 200ms", "Hi", func(v *visit) { v.chatter(30 * time.Millisecond) }, "turn_timeout"},
		"conversation_timeout":      {"conversation_timeout: 1s", "Hi", func(*visit) {}, "conversation_timeout"},
		"the prompt's own deadline": {"", `{"content":"Hi","timeout":1}`, func(*visit) {}, "deadline"},
		"max_frame":                 {"max_frame: 1KiB", "Hi", func(v *visit) { v.stream("m", strings.Repeat("x", 2000)) }, "max_frame"},
		"max_events":                {"max_events: 5", "Hi", func(v *visit) { v.many(20, returned("t", "done")) }, "max_events"},
		"max_events, streams":       {"max_events: 5", "Hi", func(v *visit) { v.send(start("open")); v.many(20, start("m"), end("m")) }, "max_events"},
		"max_events, unknown types": {"max_events: 5", "Hi", func(v *visit) { v.many(20, `{"type":"typing"}`) }, "max_events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.settings, `  - {name: ended, on: conversation_ended, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.hear(); c.play(v) }))
			o := w.handle(c.payload)
			w.expect(o, worker.Failed, c.reason)
			if len(o.Turns) != 1 || len(w.bot.messages()) != 1 || o.Attempts != 1 {
				t.Errorf("a limit ends the conversation at once: %+v", o)
			}
			if got := w.outbox.rules(); len(got) != 1 {
				t.Errorf("conversation_ended fired %q", got)
			}
			if strings.HasPrefix(c.reason, "max_events") && len(o.Turns[0].Events) > 8 {
				t.Errorf("%d events are kept", len(o.Turns[0].Events))
			}
		})
	}
}

func (v *visit) many(n int, frames ...string) {
	for range n {
		v.send(frames...)
	}
}

func (v *visit) chatter(every time.Duration) {
	v.stream("m", "x")
	for range 30 {
		v.pause(every)
		v.send(`{"type":"typing"}`)
	}
}

func TestTooMuchBeforeOurMessage(t *testing.T) {
	t.Parallel()
	said := make(chan struct{})
	w := newWorld(t, "max_events: 5", "", talk(func(v *visit) {
		v.many(20, `{"type":"typing"}`)
		v.sync()
		close(said)
	}))
	w.journal.before = func(r *worker.Record) {
		if r.Sent != nil {
			<-said
		}
	}
	w.expect(w.handle("Hi"), worker.Failed, "max_events")
}

// Beyond max_transcript the transcript is cut at a character and marked; the conversation goes on.
func TestMaxTranscript(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*visit){
		"one stream":   func(v *visit) { v.stream("m", strings.Repeat("€ ", 1000)) },
		"one chunk":    func(v *visit) { v.send(chunk("m", "x"+strings.Repeat("€", 1000)), end("m")) },
		"many streams": func(v *visit) { v.many(300, chunk("m", "€uro!"), end("m")) },
		"events": func(v *visit) {
			v.many(30, `{"type":"note","text":"`+strings.Repeat("x", 100)+`"}`)
			v.stream("m", "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "max_transcript: 1KiB", `  - {name: ended, on: final_response, actions: [{publish: a.b}]}
`, talk(func(v *visit) { v.hear(); play(v) }))
			o := w.handle("Hi")
			w.expect(o, worker.Completed, "")
			size := 0
			for _, s := range append(o.Turns[0].Interim, worker.Stream{Text: o.Response}) {
				size += len(s.Text)
				if !utf8.ValidString(s.Text) {
					t.Errorf("cut within a character: %q", s.Text[max(0, len(s.Text)-5):])
				}
			}
			if !o.Truncated || size > 1024 || (name != "events" && size < 1018) {
				t.Errorf("%d bytes of transcript are kept, truncated %v", size, o.Truncated)
			}
			if len(w.outbox.rules()) != 1 {
				t.Error("the rules did not see the turn settle")
			}
		})
	}
}

func TestFramesTooLargeForRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: raw, on: unknown, when: 'event.raw.text == "x"', actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.hear()
		v.send(`{"type":"blob","text":"` + strings.Repeat("x", 70<<10) + `"}`)
		v.stream("m", "Hi")
	}))
	o := w.handle("Hi")
	w.expect(o, worker.Completed, "")
	if !o.Truncated || len(o.Fired) != 0 || o.Turns[0].Events[0].Raw != nil {
		t.Errorf("a frame of 70 KiB: truncated %v, fired %v", o.Truncated, o.Fired)
	}
}

// What the bot refuses for good is failed at once; nobody asks again.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	for status, reason := range map[int]string{
		401: "401 Unauthorized", 403: "403 Forbidden", 404: "404 Not Found", 400: "400 Bad Request", 302: "redirects are not followed",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "", `  - {name: ended, on: conversation_ended, when: 'conversation.status == "failed"', actions: [{publish: a.b}]}
`, refuse(status, ""))
			o := w.handle("Hi")
			w.expect(o, worker.Failed, reason)
			if len(w.bot.connections()) != 1 || o.Attempts != 1 || len(o.Turns) != 0 || len(o.Events) != 1 || len(o.Fired) != 1 {
				t.Errorf("asked %d times, outcome %+v", len(w.bot.connections()), o)
			}
			if strings.Contains(o.Reason, botKey) {
				t.Errorf("the bot's key is in %q", o.Reason)
			}
			if d := w.worker.Line("support").Closed(); d != 0 {
				t.Errorf("a refusal of this key closes the line for %s", d)
			}
		})
	}
}

func TestThrottledIsLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", refuse(http.StatusTooManyRequests, "7"), says("Hi"))
	d := w.worker.Handle(w.ctx, job("Hi", 1))
	if d.Verb != worker.Nak || d.After < 6*time.Second || d.After > 8*time.Second {
		t.Errorf("after a 429 with Retry-After: 7 the prompt is %+v", d)
	}
	if closed := w.worker.Line("support").Closed(); closed < 6*time.Second || closed > 7*time.Second {
		t.Errorf("the line is closed for %s, want 7s", closed)
	}
	// Meanwhile the prompt is handed back without an attempt.
	if d := w.worker.Handle(w.ctx, job("Hi", 2)); d.Verb != worker.Nak || d.After < 6*time.Second {
		t.Errorf("brought again too early: %+v", d)
	}
	if n := len(w.bot.connections()); n != 1 {
		t.Errorf("the bot was asked %d times within its Retry-After", n)
	}
	records := w.journal.all()
	last := records[len(records)-1]
	if last.Back == "" || last.Failed != nil {
		t.Errorf("waiting for the line counts no attempt: %+v", last)
	}
}

func TestDownIsTriedAgainUpToMaxAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_attempts: 3", "", refuse(503, ""))
	o := w.handle("Hi")
	w.expect(o, worker.Failed, "attempt 3 of 3")
	if !strings.Contains(o.Reason, "503 Service Unavailable") || o.Attempts != 3 || len(w.bot.connections()) != 3 {
		t.Errorf("after %d connections: %+v", len(w.bot.connections()), o)
	}
	if len(o.History) != 3 || o.History[0].Attempt != 1 || o.History[2].Attempt != 3 || !strings.Contains(o.History[1].Reason, "503") {
		t.Errorf("history %+v", o.History)
	}
}

func TestDownForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", refuse(503, ""), refuse(500, ""), refuse(408, ""), says("Back again."))
	o := w.handle("Hi")
	w.expect(o, worker.Completed, "")
	if o.Response != "Back again." || o.Attempts != 4 || len(o.History) != 3 {
		t.Errorf("outcome %+v", o)
	}
}

// A breaker that opens before max_attempts is reached leaves a lone prompt of a bot that is down waiting, for as long as it takes.
func TestALonePromptOutlivesItsBot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "breaker: {requests: 2, open: 50ms, max_open: 100ms}", "", refuse(503, ""), refuse(503, ""), refuse(503, ""), refuse(503, ""), refuse(503, ""), refuse(503, ""), says("Back again."))
	for n := uint64(1); ; n++ {
		d := w.worker.Handle(w.ctx, job("Hi", n))
		if d.Verb == worker.Ack {
			break
		}
		if err := w.worker.Admit(w.ctx, "support"); err != nil {
			t.Fatal(err)
		}
		<-time.After(min(d.After, 1300*time.Millisecond)) // as NATS keeps it back
	}
	o := w.outcome("job")
	w.expect(o, worker.Completed, "")
	if o.Attempts != 2 || len(o.History) != 1 {
		t.Errorf("%d attempts of %+v", o.Attempts, o.History)
	}
}

// Many prompts fail until the breaker opens; from then on a prompt that is there already waits, which counts nothing.
func TestAnOpenBreakerCountsNoAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_attempts: 100", "", refuse(503, ""))
	n := uint64(1)
	for ; w.worker.Line("support").Closed() == 0; n++ {
		w.worker.Handle(w.ctx, job("Hi", n))
	}
	if got := len(w.bot.connections()); got != 10 {
		t.Errorf("the breaker opened after %d failures", got)
	}
	d := w.worker.Handle(w.ctx, job("Hi", n))
	if d.Verb != worker.Nak || d.After <= 0 || len(w.bot.connections()) != 10 {
		t.Errorf("with the breaker open: %+v after %d connections", d, len(w.bot.connections()))
	}
	failed := 0
	for _, r := range w.journal.all() {
		if r.Failed != nil {
			failed++
		}
	}
	if failed != 9 { // the tenth opened it
		t.Errorf("%d attempts were counted, want 9", failed)
	}
}

func TestADeadlineThatPassedBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", "", says("too late"))
	o := w.handle(`{"content":"Hi","expires_at":"2020-01-01T00:00:00Z"}`)
	w.expect(o, worker.Failed, "deadline passed before it could be sent")
	if len(w.bot.connections()) != 0 {
		t.Error("the bot was called")
	}
}
