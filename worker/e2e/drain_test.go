package e2e

import (
	"syscall"
	"testing"
	"time"

	"dgworker/worker"
)

// SIGTERM in the middle of a long conversation: the worker ends with 0 once its drain is over, and another goes on with
// the turn that was shown, as the same visitor, without saying anything again and without counting an attempt.
func TestDrainHandsOverShownTurn(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `
on_reconnect: resume
replies:
  - steps: [{tool: {name: lookup_order, takes: 6s}}, {stream: "It is on its way."}]
`, `
bots:
  support: {key: k, url: "%s", settle: 50ms}
rules:
  - {name: looking, on: tool_action, actions: [{publish: office.looking}]}
`)
	first := s.worker("first", "--drain-timeout", "1s")
	wire := s.tap()
	s.send("dgbot.prompts.support", say("p1", "Where is it?"))
	eventually(t, patience, "the turn has shown something", func() bool { return wire.counts()["actions"] > 0 })
	began := time.Now()
	if code := first.terminate(); code != 0 {
		t.Errorf("the worker ended with %d, want 0", code)
	}
	if took := time.Since(began); took < time.Second/2 || took > 15*time.Second {
		t.Errorf("the drain took %s, want a second and what closing takes", took)
	}
	s.worker("second")
	o := s.ended("p1", worker.Completed)
	if o.Attempts != 1 || len(o.History) != 0 {
		t.Errorf("attempts %d, history %+v: a drain counts none", o.Attempts, o.History)
	}
	same(t, s.messages(), []string{o.VisitorID + ": Where is it?"})
	s.settled()
	s.once("p1")
}

// What is short ends within the drain, and nothing new is begun.
func TestDrainLetsFinish(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `replies: [{steps: [{wait: 1s}, {stream: Done.}]}]`, `
bots:
  support: {key: k, url: "%s", settle: 50ms}
rules:
  - {name: done, on: final_response, actions: [{publish: office.done}]}
`)
	w := s.worker("w", "--drain-timeout", "30s")
	s.send("dgbot.prompts.support", say("p1", "Hello"))
	s.said(1, patience)
	if code := w.terminate(); code != 0 {
		t.Errorf("the worker ended with %d, want 0", code)
	}
	if n := s.stored("DGBOT_OUTCOMES"); n != 1 {
		t.Fatalf("%d outcomes after the drain, want 1", n)
	}
	s.send("dgbot.prompts.support", say("p2", "Hello"))
	w.start()
	s.ended("p2", worker.Completed)
	s.settled()
	s.once("p1", "p2")
}

// TestDrain ends a worker that holds a conversation which takes longer than it may: it hands the prompt back and ends with
// 0, and the other one finishes without counting an attempt.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainScript, plainRules)
	first := w.worker("first", "--drain-timeout", "500ms")
	w.send("dgbot.prompts.support", `{"id":"p","content":"think"}`)
	w.said(1, patience)
	begun := time.Now()
	if code := first.terminate(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("draining took %s", took)
	}
	w.worker("second")
	if o := w.outcome("p", patience); o.Status != worker.Completed || len(o.History) != 0 {
		t.Errorf("outcome %s, history %v", o.Status, o.History)
	}
}

// TestHandoffHandedOver hands a wait for a person to another worker, which keeps to the first one's deadline.
func TestHandoffHandedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainScript, plainRules)
	first := w.worker("first", "--drain-timeout", "100ms")
	w.send("dgbot.prompts.waiting", `{"id":"p","content":"person"}`)
	eventually(t, patience, "the offer is journaled", func() bool { return len(w.journal("p")) > 1 })
	until := w.journal("p")[1].Handoff
	first.terminate()
	w.worker("second")
	o := w.outcome("p", patience)
	if o.Status != worker.Handoff || w.sim.Stats().Messages != 1 {
		t.Errorf("outcome %s with %d messages at the bot", o.Status, w.sim.Stats().Messages)
	}
	if late := o.EndedAt.Sub(*until); late < 0 || late > 3*time.Second {
		t.Errorf("the wait ended %s after its deadline", late)
	}
}

// Who can't wait for the drain sends a second signal: the worker ends at once, and nothing is lost.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainScript, plainRules)
	first := w.worker("first", "--drain-timeout", "10m")
	w.send("dgbot.prompts.support", say("p", "think"))
	w.said(1, patience)
	first.signal(syscall.SIGTERM)
	says(first, "draining")
	if code := first.terminate(); code != 0 {
		t.Errorf("exit code %d after the second signal", code)
	}
	w.worker("second")
	w.ended("p", worker.Completed)
	w.settled()
	w.once("p")
}
