package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dgworker/worker"
	"dgworker/worker/app"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

const (
	botKey = "the-key-of-the-bot"
	secret = "whsec_dGhlLXNlY3JldC1vZi10aGUtd2ViaG9vay0xMjM0NTY="
)

// plant is everything around an app: the simulated DGbot, a back office, rules on disk, and what was logged.
type plant struct {
	t      *testing.T
	ctx    context.Context
	sim    *dgbotsim.Server
	office *httptest.Server
	posts  chan post
	rules  string
	logs   *observer.ObservedLogs
	config app.Config
	app    *app.App
	nc     *nats.Conn
	js     jetstream.JetStream
	asked  int
}

type post struct {
	path   string
	header http.Header
	body   []byte
}

// newPlant prepares an app whose bot plays script. Nothing is started but the bot and the back office.
func newPlant(t *testing.T, script string) *plant {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	p := &plant{t: t, ctx: ctx, posts: make(chan post, 100), rules: filepath.Join(t.TempDir(), "rules.yaml")}
	parsed, err := dgbotsim.ParseScript([]byte(script))
	if err != nil {
		t.Fatal(err)
	}
	p.sim = dgbotsim.New(parsed, dgbotsim.WithKeys(botKey))
	if err := p.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.sim.Close() })
	p.office = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.posts <- post{r.URL.RequestURI(), r.Header, body}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(p.office.Close)
	core, logs := observer.New(zap.DebugLevel)
	p.logs = logs
	p.config = app.Config{
		Rules: p.rules, Embed: broker.Embed{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: time.Second}, Admin: "127.0.0.1:0",
		AckWait: 2 * time.Second, DrainTimeout: 5 * time.Second, Grace: 500 * time.Millisecond, Log: zap.New(core),
	}
	return p
}

// write puts rules on disk as an editor does: at once.
func (p *plant) write(rulesText string) {
	p.t.Helper()
	if err := os.WriteFile(p.rules+".new", []byte(p.text(rulesText)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.rules+".new", p.rules); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) text(rulesText string) string {
	return fmt.Sprintf("bots:\n  support: {key: %s, url: %q, settle: 100ms}\nwebhooks:\n  office: {url: %q, secret: %s, allow: [127.0.0.0/8]}\nrules:\n%s",
		botKey, p.sim.URL(), p.office.URL+"/hooks?token=query-secret", secret, rulesText)
}

func (p *plant) start() {
	p.t.Helper()
	a, err := app.New(p.config)
	if err == nil {
		p.app = a
		err = a.Start(p.ctx)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.stop)
	if p.nc, err = nats.Connect(a.NATSURL()); err != nil { // as any client would, over TCP
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.nc.Close)
	if p.js, err = jetstream.New(p.nc); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) stop() {
	if err := p.app.Stop(context.Background()); err != nil {
		p.t.Errorf("stop: %v", err)
	}
}

// ask publishes a prompt with a plain client and waits for its outcome.
func (p *plant) ask(id, payload string) *worker.Outcome {
	p.t.Helper()
	return p.await(p.send(id, payload))
}

func (p *plant) send(id, payload string) *nats.Subscription {
	p.t.Helper()
	sub, err := p.nc.SubscribeSync("dgbot.outcomes.*.*." + id)
	if err == nil {
		err = p.nc.PublishMsg(&nats.Msg{Subject: "dgbot.prompts.support", Data: []byte(payload), Header: nats.Header{"Nats-Msg-Id": {id}}})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return sub
}

func (p *plant) await(sub *nats.Subscription) *worker.Outcome {
	p.t.Helper()
	msg, err := sub.NextMsgWithContext(p.ctx)
	if err != nil {
		p.t.Fatalf("no outcome: %v, logs %v", err, p.logs.All())
	}
	o := new(worker.Outcome)
	if err := json.Unmarshal(msg.Data, o); err != nil {
		p.t.Fatal(err)
	}
	return o
}

func (p *plant) nextPost() post {
	p.t.Helper()
	select {
	case got := <-p.posts:
		return got
	case <-p.ctx.Done():
		p.t.Fatalf("nothing was posted; logs %v", p.logs.All())
		return post{}
	}
}

func (p *plant) get(path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://"+p.app.AdminAddr()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// until waits for a condition that nothing signals: a file that the worker notices, a line that it logs.
func (p *plant) until(what string, holds func() bool) {
	p.t.Helper()
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-p.ctx.Done():
			p.t.Fatalf("waited for %s; logs %v", what, p.logs.All())
		}
	}
}

const backOffice = `
replies:
  - match: (?i)refund
    steps:
      - stream: Let me look that up…
      - tool: {name: issue_refund}
      - stream: Your refund has been issued.
  - match: wait
    steps: [{silence: }]
  - steps:
      - stream: Hello.
`

const refundRules = `  - name: refund-issued
    on: tool_action_result
    when: 'event.tool == "issue_refund" && event.status == "done"'
    actions:
      - webhook: office
        path: "/orders/{{ prompt.data.order_id }}/refunded"
        query: {visitor: "{{ conversation.visitor_id }}"}
        body: {order: "{{ prompt.data.order_id }}"}
  - name: confirmed
    on: final_response
    when: 'response.text matches "(?i)refund"'
    actions: [{publish: backoffice.confirmed}]
`
