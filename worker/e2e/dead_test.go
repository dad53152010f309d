package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dgworker/worker"
)

const deadScript = `
delay: 1ms
replies:
  - match: ^think
    steps: [{wait: 30s}, {stream: Too late.}]
  - match: ^cut
    times: 1
    steps: [{tool: {name: lookup, takes: 10ms}}, {drop: rst}]
  - steps: [{stream: Hello.}]
`

const deadRules = `
bots:
  support: {key: k, url: "%s", settle: 50ms, resume_wait: 300ms, max_attempts: 2}
webhooks:
  gone: {url: "http://127.0.0.1:9/", secret: whsec_ZGd3b3JrZXItZTJlLXNlY3JldC1ub3QtZm9yLXVzZQ==, allow: [127.0.0.0/8], retry: [0s]}
rules:
  - {name: said, on: final_response, actions: [{webhook: gone, body: {prompt: "{{ prompt.id }}"}}]}
`

// dgworker runs a command against the world's NATS and returns what it printed, and its exit code.
func (w *world) dgworker(args ...string) (string, int) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "dgworker"), append(args, "--nats", w.url)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestPoison lets a prompt kill its worker as often as max_attempts allows: it ends as failed, with its history.
func TestPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deadScript, deadRules)
	for n := 1; n <= 2; n++ {
		p := w.worker("worker")
		if n == 1 {
			w.send("dgbot.prompts.support", `{"id":"p","content":"think"}`)
		}
		w.said(n, patience)
		p.kill()
	}
	w.worker("last")
	o := w.outcome("p", patience)
	if o.Status != worker.Failed || len(o.History) != 2 || !strings.Contains(o.Reason, "attempt 2 of 2") {
		t.Errorf("outcome %s (%s) with history %v", o.Status, o.Reason, o.History)
	}
	if out, code := w.dgworker("dead", "show", "p"); code != 0 || !strings.Contains(out, "attempt 1 failed") {
		t.Errorf("dead show: exit %d\n%s", code, out)
	}
}

// TestDeadPrompt runs a dead prompt again: under a new id that names the old, after a look that changes nothing.
func TestDeadPrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deadScript, deadRules)
	w.worker("worker")
	w.send("dgbot.prompts.support", `{"id":"p","content":"cut","visitor_id":"v","data":{"n":7}}`)
	if o := w.outcome("p", patience); o.Status != worker.Interrupted {
		t.Fatalf("outcome %s, want interrupted", o.Status)
	}
	if out, code := w.dgworker("dead", "retry", "--all", "--dry-run"); code != 0 || !strings.Contains(out, "p: would retry") {
		t.Fatalf("dry run: exit %d\n%s", code, out)
	}
	out, code := w.dgworker("dead", "retry", "p")
	if code != 0 || !strings.Contains(out, "p: runs again as p-retry1") {
		t.Fatalf("retry: exit %d\n%s", code, out)
	}
	o := w.outcome("p-retry1", patience)
	if o.Status != worker.Completed || o.RetryOf != "p" || o.VisitorID != "v" || fmt.Sprint(o.Prompt.Data) != "map[n:7]" {
		t.Errorf("outcome %s, retry of %q, visitor %q, data %v", o.Status, o.RetryOf, o.VisitorID, o.Prompt.Data)
	}
	if out, _ := w.dgworker("dead", "list", "--kind", "prompts"); !strings.Contains(out, "0 dead letters") {
		t.Errorf("the dead letter is still there:\n%s", out)
	}
}

// TestDeadAction delivers a dead action again under its own id, once somebody has mended the address.
func TestDeadAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deadScript, deadRules)
	p := w.worker("worker")
	w.send("dgbot.prompts.support", `{"id":"p","content":"hello"}`)
	id := w.outcome("p", patience).Fired[0].ID
	eventually(t, patience, "the action is a dead letter", func() bool {
		out, _ := w.dgworker("dead", "list")
		return strings.Contains(out, id)
	})
	r := startReceiver(t, 1, 0)
	writeFile(t, w.rules, strings.ReplaceAll(readFile(t, w.rules), "http://127.0.0.1:9/", r.server.URL))
	says(p, "rules reloaded")
	if out, code := w.dgworker("dead", "retry", id, "--dry-run"); code != 0 || !strings.Contains(out, id+": would retry") {
		t.Errorf("dry run: exit %d\n%s", code, out)
	}
	if out, code := w.dgworker("dead", "retry", id); code != 0 {
		t.Fatalf("retry: exit %d\n%s", code, out)
	}
	eventually(t, patience, "the receiver has it", func() bool {
		ids, _, _ := r.counts()
		return ids == 1
	})
	if r.accepted[id] != 1 {
		t.Errorf("the receiver accepted %v, want %s once", r.accepted, id)
	}
	if out, code := w.dgworker("dead", "drop", "nothing"); code != 1 {
		t.Errorf("dropping what is not there: exit %d\n%s", code, out)
	}
}

// TestBadInput sends what is no prompt: each ends as rejected with its reason and a dead letter, and the worker goes on.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deadScript, deadRules)
	w.worker("worker")
	for i, tc := range []struct{ subject, payload, reason string }{
		{"dgbot.prompts.support", `{"content":`, "JSON syntax"},
		{"dgbot.prompts.support", `{"content":5}`, `"content" is a JSON number`},
		{"dgbot.prompts.support", `{"contents":"x"}`, `unknown field "contents"`},
		{"dgbot.prompts.support", ` `, "is empty"},
		{"dgbot.prompts.support", "\xff", "UTF-8"},
		{"dgbot.prompts.support", `{"content":"x","reply_to":"dgbot.prompts.support"}`, "reply_to"},
		{"dgbot.prompts.nobody", `hello`, `no worker knows the bot "nobody"`},
		{"dgbot.prompts.support.lane.deep", `hello`, "no worker knows"},
		{"dgbot.prompts.support.lane", `{"messages":[]}`, `neither "content" nor "messages"`},
	} {
		id := "bad" + string(rune('a'+i))
		msg := &nats.Msg{Subject: tc.subject, Data: []byte(tc.payload), Header: nats.Header{"Nats-Msg-Id": {id}}}
		if _, err := w.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		if o := w.outcome(id, patience); o.Status != worker.Rejected || !strings.Contains(o.Reason, tc.reason) {
			t.Errorf("%q: outcome %s: %s, want rejected: …%s…", tc.payload, o.Status, o.Reason, tc.reason)
		}
	}
	out, _ := w.dgworker("dead", "list", "--status", "rejected", "--json")
	if n := strings.Count(out, `"kind":"prompt"`); n != 9 {
		t.Errorf("%d dead letters, want 9", n)
	}
	w.send("dgbot.prompts.support", `{"id":"good","content":"hello"}`)
	if o := w.outcome("good", patience); o.Status != worker.Completed {
		t.Errorf("a good prompt after the bad ones ended as %s", o.Status)
	}
	reply, err := w.nc.Request("dgbot.ask.support", []byte("hello"), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var o worker.Outcome
	if err := json.Unmarshal(reply.Data, &o); err != nil || o.Status != worker.Completed {
		t.Errorf("asked: %s, %v", o.Status, err)
	}
}
