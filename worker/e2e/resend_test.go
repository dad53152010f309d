package e2e

import (
	"fmt"
	"strings"
	"testing"

	"dgworker/worker"
)

// What the bot does to the first message; the second is answered in full.
const (
	cutBefore = `
replies:
  - times: 1
    steps: [{wait: 50ms}, {drop: rst}]
  - steps: [{tool: {name: lookup_order, takes: 10ms}}, {stream: Done.}]
`
	cutAfter = `
replies:
  - times: 1
    steps: [{tool: {name: lookup_order, takes: 10ms}}, {wait: 50ms}, {drop: fin}]
  - steps: [{tool: {name: lookup_order, takes: 10ms}}, {stream: Done.}]
`
	cutAndResumed = `
on_reconnect: resume
replies:
  - steps: [{tool: {name: lookup_order, takes: 10ms}}, {wait: 50ms}, {drop: fin}, {wait: 50ms}, {stream: Done.}]
`
)

// A turn is cut off before it showed anything, or after. What is sent again, and how it ends, is what `resend` says.
func TestResendAfterCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, policy, bot string
		messages, fired   int
		status            worker.Status
	}{
		{"unobserved, nothing shown", "unobserved", cutBefore, 2, 1, worker.Completed},
		{"unobserved, shown", "unobserved", cutAfter, 1, 1, worker.Interrupted},
		{"unobserved, shown and resumed", "unobserved", cutAndResumed, 1, 1, worker.Completed},
		{"never, nothing shown", "never", cutBefore, 1, 0, worker.Interrupted},
		{"never, shown and resumed", "never", cutAndResumed, 1, 1, worker.Completed},
		{"always, nothing shown", "always", cutBefore, 2, 1, worker.Completed},
		{"always, shown", "always", cutAfter, 2, 2, worker.Completed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newWorld(t, c.bot, strings.ReplaceAll(`
bots:
  support: {key: k, url: "%s", settle: 200ms, resume_wait: 2s, resend: POLICY}
rules:
  - {name: looked, on: tool_action_result, actions: [{publish: office.looked}]}
`, "POLICY", c.policy))
			s.worker("w")
			s.send("dgbot.prompts.support", say("p1", "Where is it?"))
			o := s.ended("p1", c.status)
			if n := len(s.messages()); n != c.messages {
				t.Errorf("the bot received %d messages, want %d", n, c.messages)
			}
			if len(o.Fired) != c.fired {
				t.Errorf("%d rules fired, want %d: %+v", len(o.Fired), c.fired, o.Fired)
			}
			for _, m := range s.sim.Received() {
				if m.Visitor != o.VisitorID {
					t.Errorf("visitor %s, want %s all the time", m.Visitor, o.VisitorID)
				}
			}
			s.settled()
			s.once("p1")
		})
	}
}

// A worker is killed in the middle of a turn: the message is sent again only if the turn showed nothing and the bot
// allows it.
func TestResendAfterAKill(t *testing.T) {
	t.Parallel()
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
			w.said(1, patience)
			if tc.content == "slow" {
				eventually(t, patience, "the tool call is journaled", func() bool { return len(w.journal("p")) > 1 })
			}
			first.kill()
			w.worker("second")
			o := w.outcome("p", patience)
			if n := w.sim.Stats().Messages; o.Status != tc.want || n != tc.messages {
				t.Errorf("outcome %s with %d messages at the bot, want %s with %d", o.Status, n, tc.want, tc.messages)
			}
		})
	}
}
