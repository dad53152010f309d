package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// violations keeps what the server logs about permissions.
type violations struct {
	mu  sync.Mutex
	all []string
}

func (v *violations) Errorf(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); strings.Contains(line, "Violation") {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.all = append(v.all, line)
	}
}
func (v *violations) Noticef(string, ...any) {}
func (v *violations) Warnf(string, ...any)   {}
func (v *violations) Fatalf(string, ...any)  {}
func (v *violations) Debugf(string, ...any)  {}
func (v *violations) Tracef(string, ...any)  {}

func (v *violations) logged() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all)
}

// permitted is a server that runs deploy/nats.conf as it is, but for its port, its folder, and a user of the test's own
// that may do anything.
type permitted struct {
	*testing.T
	ctx context.Context
	url string
	log violations
}

// logged are the violations so far.
func (p *permitted) logged() []string { return p.log.logged() }

func startPermitted(t *testing.T) *permitted {
	t.Helper()
	for _, role := range []string{"WORKER", "PRODUCER", "READER", "ASKER", "OPERATOR", "SHOP"} {
		t.Setenv(role+"_PASSWORD", "secret-of-"+role)
	}
	opts, err := server.ProcessConfigFile("../../deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPPort, opts.StoreDir, opts.NoSigs, opts.SyncAlways = "127.0.0.1", server.RANDOM_PORT, 0, t.TempDir(), true, false
	opts.Users = append(opts.Users, &server.User{Username: "test", Password: "test", Account: opts.Users[0].Account})
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	p := &permitted{T: t, ctx: ctx}
	srv.SetLoggerV2(&p.log, false, false, false)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("server isn't ready")
	}
	p.url = srv.ClientURL()
	return p
}

// as connects as one of the roles, with the inbox prefix that is the role's own.
func (p *permitted) as(role string) (*nats.Conn, jetstream.JetStream) {
	p.Helper()
	password := role
	opts := []nats.Option{nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})} // the server's log is what counts
	if role != "test" {
		password = "secret-of-" + strings.ToUpper(role)
		opts = append(opts, nats.CustomInboxPrefix("_INBOX_"+role))
	}
	nc, err := nats.Connect(p.url, append(opts, nats.UserInfo(role, password))...)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		p.Fatal(err)
	}
	return nc, js
}

// worker starts an app as the worker user, as the config's comment says.
func (p *permitted) worker(rulesFile string) *App {
	p.Helper()
	a, err := New(Config{
		Rules: rulesFile, Admin: "off", Grace: 100 * time.Millisecond, AckWait: time.Second, DrainTimeout: 5 * time.Second, Log: zap.NewNop(),
		NATS:    broker.Settings{URL: p.url, User: "worker", Password: "secret-of-WORKER", InboxPrefix: "_INBOX_worker"},
		ReplyTo: []string{"_INBOX_asker", "_INBOX_operator"},
	})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := a.Start(ctx); err != nil {
		p.Fatalf("%v; violations: %v", err, p.logged())
	}
	p.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a
}

// receiver answers webhooks: the first of each path with 500, /gone with 410, and /lost with what is never delivered.
type receiver struct {
	*httptest.Server
	posts chan string // paths that were taken
}

func startReceiver(t *testing.T) *receiver {
	r := &receiver{posts: make(chan string, 64)}
	var mu sync.Mutex
	seen := map[string]bool{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		again := seen[req.URL.Path]
		seen[req.URL.Path] = true
		mu.Unlock()
		switch {
		case strings.HasPrefix(req.URL.Path, "/gone"):
			w.WriteHeader(http.StatusGone)
		case strings.HasPrefix(req.URL.Path, "/lost"):
			w.WriteHeader(http.StatusFound)
		case !again:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			r.posts <- req.URL.Path
		}
	}))
	t.Cleanup(r.Close)
	return r
}

const permittedRules = `
bots:
  support: {key: k, url: "%s", settle: 50ms, max_attempts: 1}
webhooks:
  hook: {url: "%s", secret: whsec_ZGd3b3JrZXItZGVtby1zZWNyZXQtbm90LWZvci11c2U=, retry: [0s, 1s], allow: [127.0.0.0/8]}
  gone: {url: "%s/gone", secret: whsec_ZGd3b3JrZXItZGVtby1zZWNyZXQtbm90LWZvci11c2U=, allow: [127.0.0.0/8]}
triggers:
  - {name: late-order, subject: "orders.delayed.>", bot: support, visitor_id: "order-{{ event.data.id }}", content: "refund {{ event.data.id }}", data: "{{ event.data }}"}
  - {name: tick, every: 1s, bot: support, content: "tick %s"}
rules:
  - name: issued
    on: tool_action_result
    actions: [{webhook: hook, path: "/{{ prompt.id }}"}, {webhook: hook, path: "/lost/{{ prompt.id }}"}, {publish: "backoffice.{{ prompt.id }}"}, {webhook: gone}]
  - {name: visitor, on: final_response, once: visitor, cooldown: {for: 1h, key: conversation.visitor_id}, actions: [{publish: backoffice.once}]}
`

func (p *permitted) rules(sim, hook, say string, into string) string {
	p.Helper()
	if into == "" {
		into = filepath.Join(p.TempDir(), "rules.yaml")
	}
	if err := os.WriteFile(into, fmt.Appendf(nil, permittedRules, sim, hook, hook, say), 0o600); err != nil {
		p.Fatal(err)
	}
	return into
}

func (p *permitted) bot() *dgbotsim.Server {
	p.Helper()
	script, err := dgbotsim.ParseScript([]byte(`
delay: 1ms
replies:
  - {match: refund, steps: [{tool: {name: issue_refund, takes: 1ms}}, {stream: It is on its way.}]}
  - {match: drop, steps: [{drop: fin}]}
  - {steps: [{stream: Hello.}]}
`))
	if err != nil {
		p.Fatal(err)
	}
	sim := dgbotsim.New(script)
	if err := sim.Start("127.0.0.1:0"); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = sim.Close() })
	return sim
}

// follow makes a channel out of a subscription.
func (p *permitted) follow(nc *nats.Conn, subject string) <-chan *nats.Msg {
	p.Helper()
	messages := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe(subject, messages); err != nil {
		p.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		p.Fatal(err)
	}
	return messages
}

// until waits for a message that is the one.
func (p *permitted) until(what string, messages <-chan *nats.Msg, is func(*nats.Msg) bool) *nats.Msg {
	p.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case m := <-messages:
			if is(m) {
				return m
			}
		case <-timeout.C:
			p.Fatalf("not in time: %s; violations: %v", what, p.logged())
		}
	}
}

func (p *permitted) outcome(messages <-chan *nats.Msg, what string, is func(*worker.Outcome) bool) *worker.Outcome {
	p.Helper()
	o := new(worker.Outcome)
	p.until("the outcome of "+what, messages, func(m *nats.Msg) bool {
		*o = worker.Outcome{}
		return json.Unmarshal(m.Data, o) == nil && is(o)
	})
	return o
}
