package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
	"dgworker/worker/dgbot/dgbotsim"
	"dgworker/worker/queue"
)

// What most scenarios play with: a bot that is quick, slow, thoughtful or hands over, and rules with a bot for each policy.
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

// world is what a scenario plays in: a NATS server process, a scripted bot, and worker processes.
type world struct {
	t     *testing.T
	url   string
	nats  *process
	nc    *nats.Conn
	js    jetstream.JetStream
	sim   *dgbotsim.Server
	rules string
}

// newWorld starts a server and a bot. rules is a rules file in which %s stands for the bot's address.
func newWorld(t *testing.T, script, rules string) *world {
	t.Helper()
	servers, url, _ := startNATS(t, 1)
	return newWorldOn(t, servers[0], url, script, rules)
}

// newWorldOn starts a bot beside a server that is there.
func newWorldOn(t *testing.T, server *process, url, script, rules string) *world {
	t.Helper()
	w := &world{t: t, nats: server, url: url}
	w.nc = connect(t, w.url)
	var err error
	if w.js, err = jetstream.New(w.nc); err != nil {
		t.Fatal(err)
	}
	parsed, err := dgbotsim.ParseScript([]byte(script))
	if err != nil {
		t.Fatal(err)
	}
	w.sim = dgbotsim.New(parsed)
	if err := w.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.sim.Close() })
	w.rules = filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(w.rules, fmt.Appendf(nil, rules, w.sim.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// worker starts a worker process and waits until it is ready.
func (w *world) worker(name string, flags ...string) *process {
	w.t.Helper()
	argv := append([]string{"dgworker", "run", "--rules", w.rules, "--nats", w.url, "--admin", "off", "--ack-wait", "2s", "--unknown-grace", "1s"}, flags...)
	p := startProcess(w.t, name, argv...)
	p.awaitReady()
	return p
}

func (w *world) send(subject, payload string) {
	w.t.Helper()
	if _, err := w.js.Publish(w.t.Context(), subject, []byte(payload)); err != nil {
		w.t.Fatal(err)
	}
}

// outcome waits for the outcome of a prompt.
func (w *world) outcome(id string, within time.Duration) *worker.Outcome {
	w.t.Helper()
	var o *worker.Outcome
	eventually(w.t, within, "prompt "+id+" has its outcome", func() bool {
		a, err := queue.OpenArchive(w.t.Context(), w.js, "dgbot")
		if err == nil {
			o, err = a.Outcome(w.t.Context(), id)
		}
		return err == nil
	})
	return o
}

// said waits until the bot has had n messages.
func (w *world) said(n int, within time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	if err := w.sim.Await(ctx, func(s dgbotsim.Stats) bool { return s.Messages >= n }); err != nil {
		w.t.Fatal(err)
	}
}

// journal returns the records of a prompt, in order.
func (w *world) journal(id string) []worker.Record {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), "DGBOT_JOURNAL")
	if err != nil {
		w.t.Fatal(err)
	}
	var records []worker.Record
	for next := uint64(1); ; {
		msg, err := s.GetMsg(w.t.Context(), next, jetstream.WithGetMsgSubject("dgbot.journal."+id))
		if err != nil {
			return records
		}
		var r worker.Record
		if err := json.Unmarshal(msg.Data, &r); err != nil {
			w.t.Fatal(err)
		}
		records, next = append(records, r), msg.Sequence+1
	}
}

// count returns how many messages a stream has stored in all.
func (w *world) count(stream string) uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve lets the bot answer at another address too, until the test ends.
func serve(t *testing.T, l net.Listener, bot http.Handler) {
	t.Helper()
	server, done := &http.Server{Handler: bot}, make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with ErrServerClosed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
