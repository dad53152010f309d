package ask_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/goleak"

	"dgworker/worker"
	"dgworker/worker/app"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// world is a NATS server, a bot, and workers between them.
type world struct {
	*testing.T
	nc    *nats.Conn
	url   string
	rules string
	said  chan string // what visitors said to the bot
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, rules: filepath.Join(t.TempDir(), "rules.yaml"), said: make(chan string, 1024)}
	server, err := broker.Start(broker.Embed{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	script, err := dgbotsim.ParseScript([]byte(`
delay: 1ms
replies:
  - {match: slow, steps: [{wait: 400ms}, {stream: At last.}]}
  - {match: never, steps: [{wait: 1h}]}
  - {steps: [{stream: "Hello."}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	sim := dgbotsim.New(script, dgbotsim.OnMessage(func(m dgbotsim.Message) { w.said <- m.Content }))
	if err := sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if err := os.WriteFile(w.rules, fmt.Appendf(nil, "bots: {support: {key: k, url: %q, settle: 10ms, max_turns: 2}}\n", sim.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.url = server.URL()
	w.nc = w.connect()
	return w
}

func (w *world) connect(opts ...nats.Option) *nats.Conn {
	w.Helper()
	nc, err := nats.Connect(w.url, opts...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(nc.Close)
	return nc
}

func (w *world) worker(change ...func(*app.Config)) *app.App {
	w.Helper()
	c := app.Config{Rules: w.rules, NATS: broker.Settings{URL: w.url}, Admin: "off", Memory: true, AckWait: time.Second, DrainTimeout: patience, Concurrency: 512, Version: "v1.2.3"}
	for _, f := range change {
		f(&c)
	}
	a, err := app.New(c)
	if err != nil {
		w.Fatal(err)
	}
	if err := a.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a
}

// ask sends a request and waits for its answer.
func (w *world) ask(bot, payload string) *nats.Msg {
	w.Helper()
	m, err := w.nc.Request("dgbot.ask."+bot, []byte(payload), patience)
	if err != nil {
		w.Fatalf("ask %s: %v", payload, err)
	}
	return m
}

func (w *world) outcome(m *nats.Msg) *worker.Outcome {
	w.Helper()
	o := new(worker.Outcome)
	if err := json.Unmarshal(m.Data, o); err != nil || o.ID == "" {
		w.Fatalf("the answer is %q %v (%v)", m.Data, m.Header, err)
	}
	return o
}

func (w *world) refused(m *nats.Msg, code, text string) {
	w.Helper()
	if m.Header.Get(micro.ErrorCodeHeader) != code || !strings.Contains(m.Header.Get(micro.ErrorHeader), text) {
		w.Errorf("the answer is %q %v, want the error %s %s", m.Data, m.Header, code, text)
	}
}

func TestAnswerIsTheOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker()
	if o := w.outcome(w.ask("support", "hi there")); o.Status != worker.Completed || o.Response != "Hello." || o.Prompt.Content != "hi there" || !strings.HasPrefix(o.ID, "ask-") {
		t.Errorf("outcome is %+v", o)
	}
	o := w.outcome(w.ask("support", `{"id":"mine","messages":["hi","there"],"data":{"n":7},"visitor_id":"v é"}`))
	if o.ID != "mine" || o.VisitorID != "v é" || len(o.Turns) != 2 || fmt.Sprint(o.Prompt.Data) != "map[n:7]" || o.Prompt.Lane == "" {
		t.Errorf("outcome is %+v", o)
	}
	// What a prompt can't be run for has an outcome too.
	if o := w.outcome(w.ask("support", `{"messages":["a","b","c"]}`)); o.Status != worker.Rejected || !strings.Contains(o.Reason, "max_turns") {
		t.Errorf("outcome is %+v", o)
	}
	m, err := w.nc.RequestMsg(&nats.Msg{Subject: "dgbot.ask.support", Data: []byte("hi"), Header: nats.Header{"Nats-Msg-Id": {"by-header"}, "X-Team": {"eu"}}}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if o := w.outcome(m); o.ID != "by-header" || o.Prompt.Headers["X-Team"] != "eu" {
		t.Errorf("outcome is %+v", o)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker(func(c *app.Config) { c.AskTimeout = 300 * time.Millisecond })
	w.refused(w.ask("suport", "hi"), "404", `no bot "suport"`)
	w.refused(w.ask("support", ""), "400", "the payload is empty")
	w.refused(w.ask("support", `{"contents":"x"}`), "400", "contents")
	w.refused(w.ask("support", `{"id":"late","content":"slow"}`), "504", "no outcome of prompt late within 300ms")
	outcomes, err := w.nc.SubscribeSync("dgbot.outcomes.*.*.late")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := outcomes.NextMsg(patience); err != nil || w.outcome(m).Response != "At last." {
		t.Errorf("the prompt did not go on: %v", err)
	}
	// A deadline of its own: it ends in an outcome, which is the answer.
	if o := w.outcome(w.ask("support", `{"content":"never","timeout":"200ms"}`)); o.Status != worker.Failed || !strings.Contains(o.Reason, "deadline") {
		t.Errorf("outcome is %+v", o)
	}
	// An answer can't be made to go just anywhere.
	other := w.connect(nats.CustomInboxPrefix("elsewhere"))
	m, err := other.Request("dgbot.ask.support", []byte("hi"), patience)
	if err != nil {
		t.Fatal(err)
	}
	w.refused(m, "400", "--reply-to-prefix")
}

// The same id is the same prompt: whoever asks again is answered, and the bot hears it once.
func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			m, err := w.nc.Request("dgbot.ask.support", []byte(`{"id":"one","content":"slow"}`), patience)
			if err != nil {
				t.Error(err)
				return
			}
			if o := w.outcome(m); o.ID != "one" || o.Response != "At last." {
				t.Errorf("outcome is %+v", o)
			}
		})
	}
	wg.Wait()
	if o := w.outcome(w.ask("support", `{"id":"one","content":"something else"}`)); o.Response != "At last." {
		t.Errorf("outcome is %+v", o)
	}
	if len(w.said) != 1 {
		t.Errorf("the bot heard %d messages", len(w.said))
	}
}

// Every client finds the service by the protocol of NATS micro.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker()
	w.outcome(w.ask("support", "hi"))
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		for _, subject := range []string{"$SRV." + verb, "$SRV." + verb + ".dgworker"} {
			m, err := w.nc.Request(subject, nil, patience)
			if err != nil {
				t.Fatal(subject, err)
			}
			var answer struct {
				Name, Version string
				Endpoints     []struct {
					Subject  string
					Requests int `json:"num_requests"`
				}
			}
			if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Name != "dgworker" || answer.Version != "1.2.3" {
				t.Errorf("%s: %s", subject, m.Data)
			}
			if verb == "STATS" && (len(answer.Endpoints) != 1 || answer.Endpoints[0].Requests != 1) {
				t.Errorf("%s: %s", subject, m.Data)
			}
		}
	}
}

// Hundreds at once take as long as one, not as long as one after the other.
func TestHundredsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.worker()
	const n = 300
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			m, err := w.nc.Request("dgbot.ask.support", []byte("slow"), patience)
			if err != nil {
				t.Error(err)
				return
			}
			w.outcome(m)
		})
	}
	wg.Wait()
	if took := time.Since(began); took > n*400*time.Millisecond/10 {
		t.Errorf("%d requests of 400 ms took %s", n, took)
	}
}

// The worker that took the request goes, another one ends the prompt, and the answer comes all the same.
func TestAnswerSurvivesItsWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.worker(func(c *app.Config) { c.DrainTimeout = 0 })
	inbox := w.nc.NewRespInbox()
	answers, err := w.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.nc.PublishRequest("dgbot.ask.support", inbox, []byte("slow")); err != nil {
		t.Fatal(err)
	}
	<-w.said // it is being talked about
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Stop(expired); err != nil {
		t.Fatal(err)
	}
	w.worker()
	m, err := answers.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if o := w.outcome(m); o.Response != "At last." {
		t.Errorf("outcome is %+v", o)
	}
	js, err := jetstream.New(w.nc)
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := js.Stream(t.Context(), "DGBOT_PROMPTS")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := prompts.Info(t.Context()); err != nil || info.State.LastSeq != 1 {
		t.Errorf("the prompt was stored %d times (%v)", info.State.LastSeq, err)
	}
}
