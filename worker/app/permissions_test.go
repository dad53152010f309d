package app

import (
	"context"
	"encoding/json"
	"errors"
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

	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
	"dgworker/worker/queue"
)

// patience bounds every wait of a test: reaching it is a failure.
const patience = 30 * time.Second

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

// Every role does all of its work under deploy/nats.conf, in which everything else is denied, and nothing is refused.
func TestRolesUnderTheirPermissions(t *testing.T) {
	p := startPermitted(t)
	_, anything := p.as("test")
	if _, err := anything.CreateStream(p.ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*.eu"}}); err != nil {
		t.Fatal(err)
	}
	sim, hook := p.bot(), startReceiver(t)
	file := p.rules(sim.URL(), hook.URL, "one", "")
	a := p.worker(file)
	b := p.worker(file) // everything is there already

	reader, readerJS := p.as("reader")
	outcomes := p.follow(reader, "dgbot.outcomes.>")
	shop, _ := p.as("shop")
	heard := p.follow(shop, "backoffice.>")

	_, before := p.as("worker") // one that had a prompt and let go of it
	if _, err := before.Publish(p.ctx, "dgbot.journal.taken", []byte(`{"writer":"gone","failed":{"attempt":1,"reason":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	_, producer := p.as("producer")
	for _, prompt := range []struct{ subject, payload string }{
		{"dgbot.prompts.support", `{"id":"plain","content":"refund 1"}`},
		{"dgbot.prompts.support.lane-1", `{"id":"laned","content":"hello"}`},
		{"dgbot.prompts.support.lane-1", `{"id":"again","content":"hello"}`}, // its visitor's claims are taken
		{"dgbot.prompts.support.lane-1", `{"id":"other","content":"hello","visitor_id":"v-2"}`},
		{"dgbot.prompts.support", `{"id":"taken","content":"hello"}`},
		{"dgbot.prompts.support", `{"id":"failed","content":"drop"}`},
		{"dgbot.prompts.nobody", `{"id":"unknown","content":"x"}`},
	} {
		if _, err := producer.Publish(p.ctx, prompt.subject, []byte(prompt.payload)); err != nil {
			t.Fatal(err)
		}
	}
	wanted := map[string]bool{"plain": true, "laned": true, "again": true, "other": true, "failed": true, "unknown": true, "taken": true}
	p.outcome(outcomes, "every prompt", func(o *worker.Outcome) bool { delete(wanted, o.ID); return len(wanted) == 0 })
	p.until("what rules publish", heard, func(m *nats.Msg) bool { return m.Subject == "backoffice.plain" })
	if path := <-hook.posts; path != "/plain" { // at the second attempt: a schedule
		t.Errorf("the receiver took %s", path)
	}

	for _, place := range []string{"eu", "us.east"} { // one that a stream holds, one that none does
		if err := shop.Publish("orders.delayed."+place, fmt.Appendf(nil, `{"id":%q}`, place)); err != nil {
			t.Fatal(err)
		}
		p.outcome(outcomes, "the event in "+place, func(o *worker.Outcome) bool { return o.VisitorID == "order-"+place })
	}
	p.outcome(outcomes, "the schedule", func(o *worker.Outcome) bool { return o.Prompt.Content == "tick one" })
	if err := shop.Publish("orders.delayed.bad.one", []byte("no id")); err != nil {
		t.Fatal(err)
	}

	asker, _ := p.as("asker")
	answer, err := asker.Request("dgbot.ask.support", []byte("hello"), patience)
	if err != nil {
		t.Fatalf("%v; violations: %v", err, p.logged())
	}
	if !strings.Contains(string(answer.Data), `"status":"completed"`) {
		t.Errorf("answer is %s", answer.Data)
	}
	if ping, err := asker.Request("$SRV.PING.dgworker", nil, patience); err != nil || !strings.Contains(string(ping.Data), `"name":"dgworker"`) {
		t.Errorf("ping: %v", err)
	}

	p.rules(sim.URL(), hook.URL, "two", file)
	for _, w := range []*App{a, b} {
		if err := w.Reload(p.ctx); err != nil {
			t.Fatal(err)
		}
	}
	p.outcome(outcomes, "the schedule after the reload", func(o *worker.Outcome) bool { return o.Prompt.Content == "tick two" })

	p.reads(readerJS)
	p.operates()
	for _, w := range []*App{a, b} {
		if err := w.Stop(p.ctx); err != nil {
			t.Error(err)
		}
	}
	if got := p.logged(); len(got) > 0 {
		t.Errorf("%d violations:\n%s", len(got), strings.Join(got, "\n"))
	}
}

// reads does with the outcomes what a consumer of somebody else does.
func (p *permitted) reads(js jetstream.JetStream) {
	p.Helper()
	stream, err := js.Stream(p.ctx, "DGBOT_OUTCOMES")
	if err != nil {
		p.Fatal(err)
	}
	for _, durable := range []string{"", "books"} {
		c, err := stream.CreateOrUpdateConsumer(p.ctx, jetstream.ConsumerConfig{Durable: durable, FilterSubject: "dgbot.outcomes.support.>", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			p.Fatal(err)
		}
		m, err := c.Next()
		if err != nil {
			p.Fatal(err)
		}
		if err := m.DoubleAck(p.ctx); err != nil {
			p.Fatal(err)
		}
	}
	if _, err := stream.GetLastMsgForSubject(p.ctx, "dgbot.outcomes.*.*.plain"); err != nil {
		p.Fatal(err)
	}
}

// operates does what the commands dead, deliveries, outcomes, watch, ask and rules do.
func (p *permitted) operates() {
	p.Helper()
	nc, js := p.as("operator")
	outcomes := p.follow(nc, "dgbot.outcomes.>")
	prompts, err := queue.OpenArchive(p.ctx, js, "dgbot")
	if err != nil {
		p.Fatal(err)
	}
	actions, err := outbox.OpenArchive(p.ctx, js, "")
	if err != nil {
		p.Fatal(err)
	}
	if _, err := prompts.Outcome(p.ctx, "plain"); err != nil {
		p.Fatal(err)
	}
	for _, err := range prompts.Outcomes(p.ctx, queue.Filter{Bot: "support"}) {
		if err != nil {
			p.Fatal(err)
		}
	}
	if versions, err := prompts.Versions(p.ctx); err != nil || len(versions) != 2 {
		p.Fatalf("%d versions, %v", len(versions), err)
	}
	id, err := prompts.RetryPrompt(p.ctx, "failed")
	if err != nil {
		p.Fatal(err)
	}
	p.outcome(outcomes, "the prompt that is run again", func(o *worker.Outcome) bool { return o.ID == id })
	if err := prompts.DropPrompt(p.ctx, "unknown"); err != nil {
		p.Fatal(err)
	}
	p.operatesOnEvents(prompts)
	p.operatesOnActions(actions)
	inbox := nc.NewRespInbox()
	live := p.follow(nc, inbox)
	watched := &nats.Msg{Subject: "dgbot.prompts.support", Data: []byte("hello"), Header: nats.Header{worker.HeaderLive: {inbox}}}
	if _, err := js.PublishMsg(p.ctx, watched); err != nil {
		p.Fatal(err)
	}
	p.until("the live view", live, func(*nats.Msg) bool { return true })
}

func (p *permitted) operatesOnEvents(prompts *queue.Archive) {
	p.Helper()
	var dead []string
	p.eventually("an event is dead", func() bool {
		for e, err := range prompts.DeadEvents(p.ctx, queue.EventFilter{}) {
			if err != nil {
				p.Fatalf("%v; violations: %v", err, p.logged())
			}
			dead = append(dead, e.ID)
		}
		return len(dead) > 0
	})
	if err := prompts.RetryEvent(p.ctx, dead[0]); err != nil {
		p.Fatal(err)
	}
}

func (p *permitted) operatesOnActions(actions *outbox.Archive) {
	p.Helper()
	items := 0
	for _, err := range actions.List(p.ctx, outbox.Filter{}) {
		if err != nil {
			p.Fatal(err)
		}
		items++
	}
	if items == 0 {
		p.Fatal("no actions")
	}
	var dead, gone []string
	p.eventually("actions are dead and an endpoint is disabled", func() bool {
		dead, gone = nil, nil
		for item, err := range actions.DeadList(p.ctx, outbox.Filter{}) {
			if err != nil {
				p.Fatal(err)
			}
			dead = append(dead, item.Delivery.ID)
		}
		disabled, err := actions.Disabled(p.ctx)
		if err != nil {
			p.Fatal(err)
		}
		for _, d := range disabled {
			gone = append(gone, d.Endpoint)
		}
		return len(dead) >= 2 && len(gone) == 1
	})
	if err := errors.Join(actions.Retry(p.ctx, dead[0]), actions.Drop(p.ctx, dead[1]), actions.Enable(p.ctx, gone[0])); err != nil {
		p.Fatalf("%v; violations: %v", err, p.logged())
	}
}

// eventually waits for a state that nothing announces.
func (p *permitted) eventually(what string, is func() bool) {
	p.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			p.Fatalf("not in time: %s; violations: %v", what, p.logged())
		}
	}
}

// What a role isn't for is denied.
func TestRolesAreKeptApart(t *testing.T) {
	p := startPermitted(t)
	_, anything := p.as("test")
	for name, subject := range map[string]string{"DGBOT_PROMPTS": "dgbot.prompts.>", "DGBOT_OUTCOMES": "dgbot.outcomes.>", "ORDERS": "orders.>"} {
		if _, err := anything.CreateStream(p.ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	for role, denied := range map[string]struct{ publish, subscribe []string }{
		"worker": {
			[]string{"orders.paid", "$JS.API.STREAM.DELETE.DGBOT_PROMPTS", "$JS.API.STREAM.UPDATE.DGBOT_PROMPTS", "$JS.API.CONSUMER.DELETE.DGBOT_PROMPTS.bot-support",
				"$JS.API.STREAM.PURGE.ORDERS", "$JS.API.CONSUMER.CREATE.ORDERS.mine", "$JS.API.STREAM.CREATE.MINE", "$KV.OTHERS.a"},
			[]string{">", "_INBOX.>", "_INBOX_asker.>", "orders.paid", "dgbot.prompts.>", "backoffice.>"},
		},
		"producer": {
			[]string{"dgbot.outcomes.support.completed.x", "dgbot.actions.hook.x.todo", "dgbot.ask.support", "$JS.API.STREAM.INFO.DGBOT_PROMPTS", "$JS.API.CONSUMER.CREATE.DGBOT_PROMPTS.a"},
			[]string{"dgbot.prompts.>", "dgbot.outcomes.>", "_INBOX_asker.>"},
		},
		"reader": {
			[]string{"dgbot.prompts.support", "dgbot.outcomes.support.completed.x", "$JS.API.STREAM.PURGE.DGBOT_OUTCOMES", "$JS.API.STREAM.MSG.DELETE.DGBOT_OUTCOMES", "$JS.API.STREAM.MSG.GET.DGBOT_PROMPTS"},
			[]string{"dgbot.prompts.>", "backoffice.>"},
		},
		"asker": {
			[]string{"dgbot.prompts.support", "$JS.API.STREAM.NAMES", "_INBOX_operator.x"},
			[]string{"dgbot.ask.support", "dgbot.outcomes.>", "_INBOX_worker.>"},
		},
		"operator": {
			[]string{"dgbot.journal.x", "dgbot.outcomes.support.completed.x", "$JS.API.STREAM.DELETE.DGBOT_DEAD", "$JS.API.STREAM.PURGE.DGBOT_PROMPTS", "$KV.DGBOT_CLAIMS.x"},
			[]string{"dgbot.prompts.>", "_INBOX_worker.>"},
		},
		"shop": {
			[]string{"dgbot.prompts.support", "backoffice.x", "$JS.API.STREAM.NAMES"},
			[]string{"dgbot.>", "orders.>"},
		},
	} {
		nc, _ := p.as(role)
		for _, subject := range denied.publish {
			before := len(p.logged())
			if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
				t.Fatal(err)
			}
			if len(p.logged()) != before+1 {
				t.Errorf("%s may publish on %s", role, subject)
			}
		}
		for _, subject := range denied.subscribe {
			before := len(p.logged())
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if len(p.logged()) != before+1 {
				t.Errorf("%s may subscribe to %s", role, subject)
			}
		}
	}
}
