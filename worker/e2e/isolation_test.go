package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"dgworker/worker"
)

// TestBotDown sends many prompts to a bot that is down: another bot's are not held up, and when it comes back every prompt
// ends well, since a closed line uses up no attempts.
func TestBotDown(t *testing.T) {
	t.Parallel()
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
		if o := w.outcome(fmt.Sprintf("u%d", i), patience); o.Status != worker.Completed {
			t.Errorf("a prompt of the other bot ended as %s", o.Status)
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, w.sim)
	for i := range n {
		if o := w.outcome(fmt.Sprintf("d%d", i), patience); o.Status != worker.Completed {
			t.Errorf("prompt d%d ended as %s: %s", i, o.Status, o.Reason)
		}
	}
}

// TestOneSlot gives a worker one slot and three bots: the bots that have nothing to do leave the slot to the one that has,
// and the worker never holds more than it can start.
func TestOneSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plainScript, plainRules)
	w.worker("worker", "--concurrency", "1")
	for i := range 20 {
		w.send("dgbot.prompts.support", fmt.Sprintf(`{"id":"p%d","content":"hello"}`, i))
	}
	held := 0
	eventually(t, patience, "20 outcomes", func() bool {
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
