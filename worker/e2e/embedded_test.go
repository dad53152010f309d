package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker/dgbot/dgbotsim"
)

// The smallest set-up is one process with NATS inside. Killed with everything in it, again and again, it loses nothing.
func TestEmbeddedServerIsKilledWithItsWorker(t *testing.T) {
	t.Parallel()
	script, err := dgbotsim.ParseScript([]byte(`
replies:
  - steps: [{tool: {name: issue_refund, takes: 30ms}}, {wait: 30ms}, {stream: "Your refund has been issued."}]
`))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sim: dgbotsim.New(script), rules: filepath.Join(t.TempDir(), "rules.yaml")}
	if err := w.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.sim.Close() })
	writeFile(t, w.rules, fmt.Sprintf(`
bots:
  support: {key: k, url: "%s", settle: 50ms, resume_wait: 300ms}
rules:
  - {name: issued, on: tool_action_result, actions: [{publish: office.issued}]}
  - {name: ended, on: conversation_ended, actions: [{publish: office.ended}]}
`, w.sim.URL()))
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := startProcess(t, "worker", "dgworker", "run", "--rules", w.rules, "--listen", listen, "--data-dir", t.TempDir(), "--admin", "off", "--ack-wait", "2s")
	w.url = "nats://" + listen
	w.nc = connect(t, w.url)
	if w.js, err = jetstream.New(w.nc); err != nil {
		t.Fatal(err)
	}
	p.awaitReady()
	const prompts, kills = 60, 6
	ids := make([]string, prompts)
	for i := range ids {
		ids[i] = fmt.Sprintf("p%02d", i)
		subject := "dgbot.prompts.support"
		if i%3 == 0 {
			subject += ".lane"
		}
		w.accepted(subject, ids[i])
		if i%(prompts/kills) == prompts/kills-1 {
			w.said(i-prompts/kills+1, patience)
			p.kill()
			p.start()
		}
	}
	for _, id := range ids {
		w.outcome(id, patience)
	}
	w.settled()
	w.once(ids...)
}

// accepted publishes a prompt until NATS says that it has it, however often NATS dies meanwhile. The message's id keeps one
// that was stored unheard from being two, as long as the server remembers; after that the prompt's own id does.
func (w *world) accepted(subject, id string) {
	w.t.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(say(id, "A refund, please.")), Header: nats.Header{"Nats-Msg-Id": {id}}}
	eventually(w.t, patience, "prompt "+id+" is accepted", func() bool {
		_, err := w.js.PublishMsg(w.t.Context(), msg, jetstream.WithRetryAttempts(0))
		return err == nil
	})
}
