package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dgworker/worker"
	"dgworker/worker/app"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

const liveScript = `
replies:
  - match: person
    steps: [{handoff: A colleague can take over.}]
  - match: cut
    steps: [{tool: {name: lookup, takes: 5ms}}, {drop: rst}]
  - steps: [{stream: Let me look.}, {tool: {name: issue_refund, takes: 5ms}}, {stream: "Your refund has been issued."}]
`

const liveRules = `
bots:
  support: {key: k, url: "%s", settle: 30ms, resume_wait: 50ms}
webhooks:
  gone: {url: "http://127.0.0.1:9/", secret: whsec_ZGd3b3JrZXItZTJlLXNlY3JldC1ub3QtZm9yLXVzZQ==, allow: [127.0.0.0/8], retry: [0s]}
rules:
  - {name: issued, on: tool_action_result, when: event.tool == "issue_refund", actions: [{publish: office.issued}]}
  - {name: person, on: handoff_offered, actions: [{webhook: gone}]}
`

// live is a worker with everything around it, and the flag that leads to its NATS.
func live(t *testing.T) (server string) {
	t.Helper()
	script, err := dgbotsim.ParseScript([]byte(liveScript))
	if err != nil {
		t.Fatal(err)
	}
	sim := dgbotsim.New(script)
	if err := sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, fmt.Appendf(nil, liveRules, sim.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(app.Config{
		Rules: rules, Embed: broker.Embed{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", Sync: time.Second}, Admin: "off", DrainTimeout: time.Second,
	})
	if err == nil {
		err = a.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	return "--nats=" + a.NATSURL()
}

func contains(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

// What one asks, and where one finds it again.
func TestAskAndFindAgain(t *testing.T) {
	t.Parallel()
	server := live(t)
	contains(t, cli(t, 0, "ask", server, "--id", "job-1", "support", "A refund, please"),
		"bot      Let me look.", "[issue_refund: done]", "→ issued: publish nats office.issued", "bot      Your refund has been issued.", "job-1: completed (visitor ", ", 1 turn, 1 action fired)")
	var o worker.Outcome
	if err := json.Unmarshal([]byte(cli(t, 0, "ask", server, "--json", "--visitor", "v-9", "--data", `{"n": 1}`, "support", "Hello", "A refund")), &o); err != nil {
		t.Fatal(err)
	}
	if o.VisitorID != "v-9" || len(o.Turns) != 2 || o.Status != worker.Completed {
		t.Errorf("outcome %+v", o)
	}
	contains(t, cli(t, 1, "ask", server, "--id", "job-2", "support", "cut"), "job-2: interrupted: ")
	// The id has its outcome: nothing is run again, and the answer is there all the same. NATS itself refuses the second within
	// its window.
	cli(t, 2, "ask", server, "--id", "job-1", "support", "A refund, please")

	contains(t, cli(t, 0, "outcomes", "list", server), "job-1", "job-2", "interrupted", "3 outcomes")
	contains(t, cli(t, 0, "outcomes", "list", server, "--status", "interrupted"), "job-2", "1 outcome")
	contains(t, cli(t, 0, "outcomes", "show", server, "job-1"), "visitor   A refund, please", "bot       Your refund has been issued.", "issued on tool_action_result: publish")
	contains(t, cli(t, 0, "rules", "explain", server, "job-1"), "issued  fired")
	cli(t, 1, "outcomes", "show", server, "nothing")
	contains(t, cli(t, 0, "deliveries", "list", server, "--rule", "issued", "--prompt", "job-1"), "done", "1 action")
}

// What is dead is looked at, tried again and removed, and nothing by accident.
func TestDeadOnTheCommandLine(t *testing.T) {
	t.Parallel()
	server := live(t)
	cli(t, 1, "ask", server, "--id", "job-2", "support", "cut")
	cli(t, 0, "ask", server, "--id", "job-3", "support", "A person, please") // its webhook is refused
	id := ""
	for began := time.Now(); id == "" && time.Since(began) < 20*time.Second; {
		for line := range strings.Lines(cli(t, 0, "dead", "list", server, "--kind", "actions", "--json")) {
			var l struct{ Kind, ID string }
			if err := json.Unmarshal([]byte(line), &l); err == nil && l.Kind == "action" {
				id = l.ID
			}
		}
	}
	contains(t, cli(t, 0, "dead", "list", server), "job-2", id, "connection refused", "2 dead letters")
	contains(t, cli(t, 0, "dead", "show", server, id), "attempt 1", "127.0.0.1:9")
	contains(t, cli(t, 0, "dead", "retry", server, "--all", "--dry-run"), "job-2: would retry", id+": would retry")
	cli(t, 2, "dead", "retry", server)
	contains(t, cli(t, 0, "dead", "retry", server, "job-2"), "job-2: runs again as job-2-retry1")
	contains(t, cli(t, 0, "dead", "drop", server, "--endpoint", "gone"), id+": removed", "1 dead letter")
	cli(t, 1, "dead", "show", server, id)
}
