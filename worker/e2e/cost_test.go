package e2e

import (
	"fmt"
	"maps"
	"testing"

	"dgworker/worker"
)

// What a prompt costs in publishes, counted on the wire. Nothing but these is published for it.
func TestCostOnTheWire(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `
replies:
  - match: refund
    steps: [{stream: Let me look.}, {tool: lookup_order}, {tool: issue_refund}, {stream: "It has been issued."}]
  - match: look
    steps: [{tool: lookup_order}, {stream: "It is on its way."}]
  - match: Think
    steps: [{wait: 3s}, {stream: "It depends."}]
  - steps: [{stream: "Five to seven days."}]
`, `
bots:
  support: {key: k, url: "%s", settle: 50ms}
rules:
  - {name: issued, on: tool_action_result, when: 'event.tool == "issue_refund"', actions: [{publish: office.issued}]}
`)
	s.worker("w")
	wire := s.tap()
	before := map[string]int{}
	for _, c := range []struct {
		id, say string
		want    map[string]int
	}{
		{"plain", "How long?", map[string]int{"prompts": 1, "journal": 1, "outcomes": 1}},                                  // the sent mark
		{"slow", "Think about it.", map[string]int{"prompts": 1, "journal": 1, "outcomes": 1}},                             // the same, though it takes longer than AckWait
		{"visible", "Please look.", map[string]int{"prompts": 1, "journal": 2, "outcomes": 1}},                             // and the first event
		{"fired", "A refund, please.", map[string]int{"prompts": 1, "journal": 3, "outcomes": 1, "actions": 2}},            // and the one that fired; todo and done
		{"named", "", map[string]int{"prompts": 1, "lanes": 1, "ready": 1, "journal": 2, "outcomes": 1, "actions": 0}},     // in its lane, claimed before its visitor shows up
		{"again plain", "How long was it again?", map[string]int{"prompts": 1, "journal": 1, "outcomes": 1, "actions": 0}}, //
	} {
		payload := say(c.id, c.say)
		if c.say == "" {
			payload = fmt.Sprintf(`{"id":%q,"content":"How long?","visitor_id":"v"}`, c.id)
		}
		s.send("dgbot.prompts.support", payload)
		s.ended(c.id, worker.Completed)
		var got map[string]int
		// The outcome is read from its stream, and its own publish may reach the tap a moment later; so may a delivery's end.
		eventually(t, patience, c.id+" costs what it should", func() bool {
			got = wire.counts()
			for word, n := range before {
				got[word] -= n
			}
			maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
			total, want := 0, 0
			for _, n := range got {
				total += n
			}
			for _, n := range c.want {
				want += n
			}
			return total >= want
		})
		for _, word := range []string{"prompts", "journal", "outcomes", "actions", "dead", "lanes", "ready"} {
			if got[word] != c.want[word] {
				t.Errorf("%s: %d publishes to %s, want %d", c.id, got[word], word, c.want[word])
			}
		}
		before = wire.counts()
	}
	s.once("plain", "slow", "visible", "fired", "named", "again plain")
}
