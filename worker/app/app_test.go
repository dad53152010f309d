package app_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"dgworker/worker"
	"dgworker/worker/app"
	"dgworker/worker/dgbot/dgbotsim"
)

// The whole job in one process, over an embedded server, with a plain client: prompt, conversation, rule, webhook, outcome.
func TestTheWholeJob(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	p.write(refundRules)
	p.start()
	published, err := p.nc.SubscribeSync("backoffice.>")
	if err != nil {
		t.Fatal(err)
	}
	o := p.ask("job-1", `{"content":"A refund, please","visitor_id":"visitor-secret","data":{"order_id":1234567}}`)
	if o.Status != worker.Completed || o.Response != "Your refund has been issued." || len(o.Turns) != 1 || len(o.Fired) != 2 || o.Tools["issue_refund"] != "done" {
		t.Errorf("outcome %+v", o)
	}
	got := p.nextPost()
	if !strings.HasPrefix(got.path, "/hooks/orders/1234567/refunded?") || !strings.Contains(got.path, "visitor=visitor-secret") || string(got.body) != `{"order":1234567}` {
		t.Errorf("posted to %s: %s", got.path, got.body)
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(got.body, got.header); err != nil {
		t.Errorf("signature: %v", err)
	}
	msg, err := published.NextMsgWithContext(p.ctx)
	if err != nil {
		t.Fatal(err)
	}
	fired := map[string]bool{got.header.Get("webhook-id"): true, msg.Header.Get("Nats-Msg-Id"): true}
	for _, f := range o.Fired {
		if !fired[f.ID] {
			t.Errorf("the outcome's action %s was not what arrived: %v", f.ID, fired)
		}
	}
	rejected := p.ask("job-2", `{"content":5}`)
	if rejected.Status != worker.Rejected {
		t.Errorf("outcome %+v", rejected)
	}
	p.until("the conversations' lines", func() bool { return p.logs.FilterMessage("conversation ended").Len() == 2 }) // counted by then
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok   nats: nats://127.0.0.1:", "/readyz?": "ok   rules: version " + o.RulesVersion, "/readyz??": "ok   taking prompts: 0 prompts wait",
		"/metrics": `dgworker_prompts_total{bot="support",status="completed"} 1`, "/metrics?": `dgworker_prompts_total{bot="support",status="rejected"} 1`,
		"/metrics??": `dgworker_rule_decisions_total{decision="fired",rule="refund-issued"} 1`, "/metrics???": "dgworker_rules_last_reload_successful 1",
	} {
		if status, body := p.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want %q in %s", path, status, want, only(body, "dgworker"))
		}
	}
	p.until("the delivery's line", func() bool { return p.logs.FilterMessageSnippet("deliver").Len() >= 2 })
	p.stop()
	p.stop()
	if p.logs.FilterMessage("ready").Len() != 1 || p.logs.FilterMessage("conversation ended").Len() != 2 || p.logs.FilterMessage("stopped").Len() != 1 {
		t.Errorf("logs %v", p.logs.All())
	}
	p.keepsSecrets()
}

// keepsSecrets looks for secrets, keys and query strings in every line that was logged, as it would be written.
func (p *plant) keepsSecrets() {
	p.t.Helper()
	for _, line := range p.logs.All() {
		fields, err := json.Marshal(line.ContextMap())
		if err != nil {
			p.t.Fatal(err)
		}
		text := line.Message + " " + string(fields)
		for _, bad := range []string{botKey, secret, strings.TrimPrefix(secret, "whsec_"), "query-secret", "visitor_id=", "visitor-secret", "?"} {
			if strings.Contains(text, bad) {
				p.t.Errorf("%q is in a line of the log: %s", bad, text)
			}
		}
	}
}

// Trouble tells no secret either.
func TestLogsOfTroubleKeepSecrets(t *testing.T) {
	t.Parallel()
	p := newPlant(t, `refuse: [{status: 503, times: 2}, {status: 403}]`)
	p.write(`  - {name: ended, on: conversation_ended, actions: [{webhook: office, path: "/x", query: {a: "visitor-secret"}}]}
`)
	p.office.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.String(), http.StatusBadRequest) })
	p.config.AckWait = time.Second
	p.start()
	o := p.ask("job-1", `{"content":"Hi","visitor_id":"visitor-secret"}`)
	if o.Status != worker.Failed || !strings.Contains(o.Reason, "403") || o.Attempts != 3 {
		t.Errorf("outcome %+v", o)
	}
	p.until("a line on the delivery", func() bool { return p.logs.FilterMessageSnippet("deliver").Len() >= 1 })
	p.write("  - {name: broken\n")
	p.until("the mistakes", func() bool { return p.logs.FilterMessageSnippet("mistakes").Len() >= 1 })
	p.stop()
	p.keepsSecrets()
}

func TestStartMistakes(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	fine := "  - {name: a, on: final_response, actions: [{publish: a.b}]}\n"
	for name, c := range map[string]struct {
		rules  string
		change func(*testing.T, *app.Config)
		want   []string
	}{
		"no rules":           {fine, func(_ *testing.T, c *app.Config) { c.Rules = "" }, []string{"--rules"}},
		"no such rules file": {fine, func(_ *testing.T, c *app.Config) { c.Rules = "/no/such/rules.yaml" }, []string{"/no/such/rules.yaml", "no such file"}},
		"an unset variable":  {"  - {name: a, on: final_response, actions: [{webhook: w}]}\nwebhooks: {}\n", nil, []string{"rules.yaml:"}},
		"rules with mistakes": {"  - {name: a, on: final_respons, actions: [{publish: a.b}]}\n  - {name: b, on: final_response, actions: [{webhook: offic}]}\n", nil,
			[]string{"rules.yaml:6:", "rules.yaml:7:", `did you mean "final_response"`, `did you mean "office"`}},
		"NATS unreachable":             {fine, func(_ *testing.T, c *app.Config) { c.NATS.URL = "nats://127.0.0.1:1" }, []string{"nats://127.0.0.1:1", "is the server running"}},
		"the port of NATS is taken":    {fine, func(_ *testing.T, c *app.Config) { c.Embed.Listen = taken.Addr().String() }, []string{"in use", "--nats nats://" + taken.Addr().String()}},
		"the admin port is taken":      {fine, func(_ *testing.T, c *app.Config) { c.Admin = taken.Addr().String() }, []string{"in use", "--admin"}},
		"admin beyond loopback":        {fine, func(_ *testing.T, c *app.Config) { c.Admin = "0.0.0.0:0" }, []string{"not loopback", "--admin-token"}},
		"JetStream off":                {fine, natsWith(func(o *server.Options) { o.JetStream = false }), []string{"JetStream is off", "-js"}},
		"messages too small":           {fine, natsWith(func(o *server.Options) { o.MaxPayload = 256 << 10 }), []string{"bot support", "max_transcript", "524288", "262144", "131072"}},
		"a stream of somebody else":    {fine, natsWith(nil), []string{"DGBOT_PROMPTS", "--prefix"}},
		"no concurrency":               {fine, func(_ *testing.T, c *app.Config) { c.Concurrency = -1 }, []string{"concurrency"}},
		"two replicas":                 {fine, func(_ *testing.T, c *app.Config) { c.Replicas = 2 }, []string{"replicas"}},
		"replicas of the embedded one": {fine, func(_ *testing.T, c *app.Config) { c.Replicas = 3 }, []string{"--nats"}},
		"an ack wait too short":        {fine, func(_ *testing.T, c *app.Config) { c.AckWait = time.Millisecond }, []string{"ack wait", "1s"}},
		"a prefix that is none":        {fine, func(_ *testing.T, c *app.Config) { c.Prefix = "a b" }, []string{"prefix", `"a b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, backOffice)
			p.write(c.rules)
			if name == "an unset variable" {
				if err := os.WriteFile(p.rules, []byte("bots:\n  support: {key: \"${NO_SUCH_VARIABLE}\"}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				c.want = []string{"rules.yaml:2:", "NO_SUCH_VARIABLE"}
			}
			if c.change != nil {
				c.change(t, &p.config)
			}
			a, err := app.New(p.config)
			if err == nil {
				err = a.Start(p.ctx)
				_ = a.Stop(p.ctx)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("start: %v\nwant %q in it", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), botKey) || strings.Contains(err.Error(), secret)) {
				t.Errorf("a secret is in the message: %v", err)
			}
		})
	}
}

// natsWith gives the app a server of the test's, or, with nil, one whose prompts stream is somebody else's.
func natsWith(change func(*server.Options)) func(*testing.T, *app.Config) {
	return func(t *testing.T, c *app.Config) {
		opts := server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
		if change != nil {
			change(&opts)
		}
		srv, err := server.NewServer(&opts)
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
		if !srv.ReadyForConnections(patience) {
			t.Fatal("NATS isn't ready")
		}
		c.NATS.URL = srv.ClientURL()
		if change != nil {
			return
		}
		nc, err := nats.Connect(c.NATS.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err == nil {
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DGBOT_PROMPTS", Subjects: []string{"dgbot.prompts.>"}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	a, err := app.New(p.config)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Stop(p.ctx); err != nil {
			t.Error(err)
		}
	}
}

// Stop hands back what does not finish within the drain timeout; the next process goes on with it, over the same data.
func TestStopHandsBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t, `
replies:
  - {times: 1, steps: [{silence: }]}
  - steps: [{stream: Here I am.}]
`)
	p.write("  - {name: a, on: final_response, actions: [{publish: a.b}]}\n")
	p.config.DrainTimeout = 100 * time.Millisecond
	p.start()
	p.send("job-1", "Hello")
	if err := p.sim.Await(p.ctx, func(s dgbotsim.Stats) bool { return s.Messages == 1 }); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	p.start()
	archived := func() *worker.Outcome {
		stream, err := p.js.Stream(p.ctx, "DGBOT_OUTCOMES")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(p.ctx, "dgbot.outcomes.*.*.job-1")
		if err != nil {
			return nil
		}
		o := new(worker.Outcome)
		if err := json.Unmarshal(msg.Data, o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	p.until("the outcome", func() bool { return archived() != nil })
	if o := archived(); o.Status != worker.Completed || o.Response != "Here I am." || o.Attempts != 1 || len(o.History) != 0 {
		t.Errorf("outcome %+v: a drain counts no attempt", o)
	}
}
