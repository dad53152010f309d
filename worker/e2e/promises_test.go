package e2e

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"dgworker/worker"
)

const plainScript = `
delay: 1ms
replies:
  - match: ^slow
    steps: [{stream: "Let me look."}, {tool: {name: lookup, takes: 4s}}, {stream: Found it.}]
  - match: ^think
    steps: [{wait: 4s}, {stream: I thought about it.}]
  - match: ^tool
    steps: [{tool: {name: lookup, takes: 10ms}}, {stream: Done.}]
  - match: ^person
    steps: [{handoff: A colleague can take over.}]
  - steps: [{stream: Hello.}]
`

const plainRules = `
bots:
  support: {key: k, url: "%[1]s", settle: 50ms, resume_wait: 1s}
  never: {key: k, url: "%[1]s", settle: 50ms, resume_wait: 1s, resend: never}
  waiting: {key: k, url: "%[1]s", settle: 50ms, on_handoff: wait, handoff_wait: 5s}
rules:
  - {name: looked, on: tool_action_result, when: event.status == "done", actions: [{publish: office.looked}]}
`

// TestCost counts what NATS stores for a prompt: a plain question and answer costs its sent mark and its outcome, and each
// event that rules can see at most one record more.
func TestCost(t *testing.T) {
	w := newWorld(t, plainScript, plainRules)
	w.worker("worker")
	w.send("dgbot.prompts.support", `{"id":"plain","content":"hello"}`)
	if o := w.outcome("plain", 10*time.Second); o.Status != worker.Completed || o.Response != "Hello." {
		t.Fatalf("outcome %s, response %q", o.Status, o.Response)
	}
	if records := w.journal("plain"); len(records) != 1 || records[0].Sent == nil {
		t.Errorf("a plain question has %d journal records, want its sent mark alone", len(records))
	}
	w.send("dgbot.prompts.support", `{"id":"tool","content":"tool"}`)
	o := w.outcome("tool", 10*time.Second)
	// The call is the turn's first event, the result fires a rule; what the turn settles with rides on the outcome.
	if records := w.journal("tool"); len(records) != 3 {
		t.Errorf("a tool call has %d journal records, want 3: sent mark, call, result", len(records))
	}
	if len(o.Fired) != 1 || w.count("DGBOT_OUTCOMES") != 2 {
		t.Errorf("%d actions fired and %d outcomes stored, want 1 and 2", len(o.Fired), w.count("DGBOT_OUTCOMES"))
	}
}

// TestOvertaken stops a worker for longer than AckWait while it holds a conversation: another ends the prompt, and the late
// one does nothing more.
func TestOvertaken(t *testing.T) {
	w := newWorld(t, plainScript, plainRules)
	late := w.worker("late")
	w.send("dgbot.prompts.support", `{"id":"p","content":"think"}`)
	w.said(1, 10*time.Second)
	late.signal(syscall.SIGSTOP)
	w.worker("other")
	o := w.outcome("p", 30*time.Second)
	before := w.count("DGBOT_JOURNAL") + w.count("DGBOT_ACTIONS") + w.count("DGBOT_OUTCOMES")
	late.signal(syscall.SIGCONT)
	eventually(t, 20*time.Second, "the late worker says that it was overtaken", func() bool {
		return strings.Contains(late.output(), "overtaken")
	})
	if after := w.count("DGBOT_JOURNAL") + w.count("DGBOT_ACTIONS") + w.count("DGBOT_OUTCOMES"); after != before {
		t.Errorf("the late worker stored %d messages", after-before)
	}
	if o.Status != worker.Completed || o.Attempts != 2 || len(o.History) != 1 {
		t.Errorf("outcome %s after %d attempts with history %v", o.Status, o.Attempts, o.History)
	}
}

// TestResend kills a worker in the middle of a turn: the message is sent again only if the turn showed nothing and the bot
// allows it.
func TestResend(t *testing.T) {
	for _, tc := range []struct {
		bot, content string
		messages     int
		want         worker.Status
	}{
		{"support", "think", 2, worker.Completed},  // nothing was shown: sent again
		{"support", "slow", 1, worker.Interrupted}, // a tool call was shown: never again
		{"never", "think", 1, worker.Interrupted},
	} {
		t.Run(tc.bot+" "+tc.content, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plainScript, plainRules)
			first := w.worker("first")
			w.send("dgbot.prompts."+tc.bot, fmt.Sprintf(`{"id":"p","content":%q}`, tc.content))
			w.said(1, 10*time.Second)
			if tc.content == "slow" {
				eventually(t, 5*time.Second, "the tool call is journaled", func() bool { return len(w.journal("p")) > 1 })
			}
			first.kill()
			w.worker("second")
			o := w.outcome("p", 30*time.Second)
			if n := w.sim.Stats().Messages; o.Status != tc.want || n != tc.messages {
				t.Errorf("outcome %s with %d messages at the bot, want %s with %d", o.Status, n, tc.want, tc.messages)
			}
		})
	}
}

// TestDrain ends a worker that holds a conversation which takes longer than it may: it hands the prompt back and ends with
// 0, and the other one finishes without counting an attempt.
func TestDrain(t *testing.T) {
	w := newWorld(t, plainScript, plainRules)
	first := w.worker("first", "--drain-timeout", "500ms")
	w.send("dgbot.prompts.support", `{"id":"p","content":"think"}`)
	w.said(1, 10*time.Second)
	begun := time.Now()
	if code := first.terminate(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("draining took %s", took)
	}
	w.worker("second")
	if o := w.outcome("p", 30*time.Second); o.Status != worker.Completed || len(o.History) != 0 {
		t.Errorf("outcome %s, history %v", o.Status, o.History)
	}
}

// TestHandoffHandedOver hands a wait for a person to another worker, which keeps to the first one's deadline.
func TestHandoffHandedOver(t *testing.T) {
	w := newWorld(t, plainScript, plainRules)
	first := w.worker("first", "--drain-timeout", "100ms")
	w.send("dgbot.prompts.waiting", `{"id":"p","content":"person"}`)
	eventually(t, 10*time.Second, "the offer is journaled", func() bool { return len(w.journal("p")) > 1 })
	until := w.journal("p")[1].Handoff
	first.terminate()
	w.worker("second")
	o := w.outcome("p", 30*time.Second)
	if o.Status != worker.Handoff || w.sim.Stats().Messages != 1 {
		t.Errorf("outcome %s with %d messages at the bot", o.Status, w.sim.Stats().Messages)
	}
	if late := o.EndedAt.Sub(*until); late < 0 || late > 3*time.Second {
		t.Errorf("the wait ended %s after its deadline", late)
	}
}

// TestBotDown sends many prompts to a bot that is down: another bot's are not held up, and when it comes back every prompt
// ends well, since a closed line uses up no attempts.
func TestBotDown(t *testing.T) {
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w := newWorld(t, plainScript, plainRules)
	rules := strings.Replace(fmt.Sprintf(plainRules, w.sim.URL()), "bots:", fmt.Sprintf("bots:\n  down: {key: k, url: \"ws://%s/ws\", settle: 50ms}", addr), 1)
	writeFile(t, w.rules, rules)
	w.worker("worker")
	const n = 100
	for i := range n {
		w.send("dgbot.prompts.down", fmt.Sprintf(`{"id":"d%d","content":"hello"}`, i))
	}
	for i := range 10 {
		w.send("dgbot.prompts.support", fmt.Sprintf(`{"id":"u%d","content":"hello"}`, i))
	}
	for i := range 10 {
		if o := w.outcome(fmt.Sprintf("u%d", i), 10*time.Second); o.Status != worker.Completed {
			t.Errorf("a prompt of the other bot ended as %s", o.Status)
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, w.sim)
	for i := range n {
		if o := w.outcome(fmt.Sprintf("d%d", i), 60*time.Second); o.Status != worker.Completed {
			t.Errorf("prompt d%d ended as %s: %s", i, o.Status, o.Reason)
		}
	}
}

// TestOneSlot gives a worker one slot and three bots: the bots that have nothing to do leave the slot to the one that has,
// and the worker never holds more than it can start.
func TestOneSlot(t *testing.T) {
	w := newWorld(t, plainScript, plainRules)
	w.worker("worker", "--concurrency", "1")
	for i := range 20 {
		w.send("dgbot.prompts.support", fmt.Sprintf(`{"id":"p%d","content":"hello"}`, i))
	}
	held := 0
	eventually(t, 30*time.Second, "20 outcomes", func() bool {
		s, err := w.js.Stream(t.Context(), "DGBOT_PROMPTS")
		if err == nil {
			if c, err := s.Consumer(t.Context(), "bot-support"); err == nil {
				held = max(held, c.CachedInfo().NumAckPending)
			}
		}
		return w.count("DGBOT_OUTCOMES") == 20
	})
	if held > 1 {
		t.Errorf("the worker held %d prompts with one slot", held)
	}
}
