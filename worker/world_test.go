package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dgworker/rules"
	"dgworker/sinks"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// settle is the quiet time of bots. Between two frames that belong together a busy machine may take a good part of it.
const settle = 150 * time.Millisecond

const botKey = "key-of-the-bot"

// world is a worker with a NATS server, its queue and a bot of its own. Only the outbox is replaced, by a list.
type world struct {
	peers   worker.Peers // asked before a prompt is taken over; nil is nobody
	t       *testing.T
	ctx     context.Context
	nc      *nats.Conn
	js      jetstream.JetStream
	queue   *queue.Queue
	journal *journal
	outbox  *outbox
	bot     *bot
	set     *rules.Set
	worker  *worker.Worker
	logs    *observer.ObservedLogs
}

// newWorld starts a world whose bot has these settings and whose n-th connection is served by the n-th part of the play;
// the last part serves all that follow. Rules may be empty.
func newWorld(t *testing.T, settings, rulesText string, play ...part) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, outbox: new(outbox), bot: startBot(t, play)}
	w.openQueue()
	if !strings.Contains(settings, "settle:") {
		settings += ", settle: " + settle.String()
	}
	text := fmt.Sprintf("bots:\n  support: {key: %s, url: %q, %s}\nwebhooks:\n  hook: {url: https://h.example, secret: whsec_%s}\n",
		botKey, w.bot.url, strings.TrimPrefix(settings, ", "), strings.Repeat("A", 32))
	if rulesText != "" {
		text += "rules:\n" + rulesText
	}
	var err error
	w.set, err = rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("rules of the test: %v", err)
	}
	w.journal = &journal{Journal: w.queue.Journal}
	w.worker = w.another()
	return w
}

// another makes a second worker of the same world, as another process would.
func (w *world) another() *worker.Worker {
	w.t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	w.logs = logs
	made, err := worker.New(worker.Config{
		Journal: w.journal, Outcomes: w.queue.Outcomes, Outbox: w.outbox, Claims: w.queue.Claims, Peers: w.peers, Log: zap.New(core),
		Reply: func(s string) bool { return strings.HasPrefix(s, "_INBOX.") },
	}, w.set)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (w *world) openQueue() {
	w.t.Helper()
	opts := server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: w.t.TempDir(), NoSigs: true, NoLog: true}
	srv, err := server.NewServer(&opts)
	if err != nil {
		w.t.Fatal(err)
	}
	srv.Start()
	w.t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		w.t.Fatal("NATS isn't ready")
	}
	if w.nc, err = nats.Connect("", nats.InProcessServer(srv)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.nc.Close)
	if w.js, err = jetstream.New(w.nc); err != nil {
		w.t.Fatal(err)
	}
	if w.queue, err = queue.Open(w.ctx, queue.Config{Conn: w.nc, JetStream: w.js}); err != nil {
		w.t.Fatal(err)
	}
}

// job is the n-th delivery of a prompt, from 1.
func job(payload string, n uint64) *worker.Job {
	return &worker.Job{
		Bot: "support", Payload: []byte(payload), Arrived: time.Now(), PositionID: "p1", Again: n > 1, Hold: worker.Hold{Seq: 1, N: n},
		Headers: map[string][]string{worker.HeaderID: {"job"}},
	}
}

// lose brings the prompt to the worker, and takes it away again for that reason once heard is closed.
func (w *world) lose(j *worker.Job, heard <-chan struct{}, why error) worker.Disposition {
	ctx, stop := context.WithCancelCause(w.ctx)
	go func() { <-heard; stop(why) }()
	return w.worker.Handle(ctx, j)
}

// takeUp lets another worker take up the second delivery of the prompt, and returns what it came to.
func (w *world) takeUp(payload string) *worker.Outcome {
	w.t.Helper()
	w.worker = w.another()
	if d := w.worker.Handle(w.ctx, job(payload, 2)); d.Verb != worker.Ack {
		w.t.Fatalf("disposition %+v, logs %v", d, w.logs.All())
	}
	return w.outcome("job")
}

// handle brings the prompt to the worker until it is acknowledged, and returns its outcome.
func (w *world) handle(payload string) *worker.Outcome {
	w.t.Helper()
	for n := uint64(1); n < 20; n++ {
		switch d := w.worker.Handle(w.ctx, job(payload, n)); d.Verb {
		case worker.Ack:
			return w.outcome("job")
		case worker.Leave:
			w.t.Fatalf("the prompt was left alone: %v", w.logs.All())
		}
	}
	w.t.Fatalf("no end of it: %v", w.logs.All())
	return nil
}

func (w *world) outcome(id string) *worker.Outcome {
	w.t.Helper()
	archive, err := queue.OpenArchive(w.ctx, w.js, "dgbot")
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := archive.Outcome(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := archive.DeadPrompt(w.ctx, id); errors.Is(err, queue.ErrNotFound) == o.Status.Dead() {
		w.t.Errorf("the outcome is %s, and looking for its dead letter says: %v", o.Status, err)
	}
	return o
}

func (w *world) expect(o *worker.Outcome, status worker.Status, reason string) {
	w.t.Helper()
	if o.Status != status || !strings.Contains(o.Reason, reason) || (reason == "" && o.Reason != "") {
		b, _ := json.MarshalIndent(o, "", " ")
		w.t.Fatalf("outcome is %s (%q), want %s (%q)\n%s", o.Status, o.Reason, status, reason, b)
	}
}

// journal remembers what was appended, and lets no failed attempt wait for its next.
type journal struct {
	*queue.Journal
	mu      sync.Mutex
	records []worker.Record
	before  func(*worker.Record) // called before each append
	after   func(*worker.Record) // called after each that was stored
}

func (j *journal) Append(ctx context.Context, prompt string, last uint64, r *worker.Record) (uint64, error) {
	if j.before != nil {
		j.before(r)
	}
	seq, err := j.Journal.Append(ctx, prompt, last, r)
	if err == nil {
		j.mu.Lock()
		j.records = append(j.records, *r)
		j.mu.Unlock()
		if j.after != nil {
			j.after(r)
		}
	}
	return seq, err
}

func (j *journal) Read(ctx context.Context, prompt string, apply func(*worker.Record, uint64)) error {
	return j.Journal.Read(ctx, prompt, func(r *worker.Record, seq uint64) {
		if r.Failed != nil {
			r.Failed.NotBefore = time.Time{}
		}
		apply(r, seq)
	})
}

func (j *journal) all() []worker.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}

// outbox is a list of what was enqueued.
type outbox struct {
	mu    sync.Mutex
	list  []sinks.Delivery
	fails func() error
}

func (o *outbox) Enqueue(_ context.Context, d sinks.Delivery) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails != nil {
		if err := o.fails(); err != nil {
			return err
		}
	}
	o.list = append(o.list, d)
	return nil
}

// rules lists the rules whose actions were enqueued.
func (o *outbox) rules() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for _, d := range o.list {
		names = append(names, d.Rule)
	}
	return names
}

// part serves one connection of a bot.
type part func(b *bot, w http.ResponseWriter, r *http.Request)

// bot is a DGbot written by hand, so that each frame is as its test says.
type bot struct {
	t        *testing.T
	url      string
	server   *httptest.Server
	work     sync.WaitGroup
	mu       sync.Mutex
	play     []part
	visitors []string // of each connection
	heard    []string // messages of all connections
}

func startBot(t *testing.T, play []part) *bot {
	b := &bot{t: t, play: play}
	b.server = httptest.NewServer(b)
	b.url = "ws" + strings.TrimPrefix(b.server.URL, "http") + "/ws"
	t.Cleanup(func() {
		b.server.Close()
		b.work.Wait()
	})
	return b
}

func (b *bot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.work.Add(1)
	defer b.work.Done()
	if got := r.URL.Query().Get("key"); got != botKey {
		b.t.Errorf("the bot was asked for the key %q", got)
	}
	b.mu.Lock()
	n := len(b.visitors)
	b.visitors = append(b.visitors, r.URL.Query().Get("visitor_id"))
	serve := b.play[min(n, len(b.play)-1)]
	b.mu.Unlock()
	serve(b, w, r)
}

func (b *bot) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.heard)
}

func (b *bot) connections() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.visitors)
}

// refuse answers the handshake with a status.
func refuse(status int, retryAfter string) part {
	return func(_ *bot, w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, "no", status)
	}
}

// talk serves a connection by f, and keeps it open after that until the worker closes it.
func talk(f func(*visit)) part {
	return func(b *bot, w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			b.t.Errorf("upgrade: %v", err)
			return
		}
		v := &visit{bot: b, ws: ws, heard: make(chan string, 100), pong: make(chan struct{}, 1), gone: make(chan struct{})}
		defer ws.Close()
		go v.read()
		f(v)
		<-v.gone
	}
}

// visit is one connection of a visitor.
type visit struct {
	bot   *bot
	ws    *websocket.Conn
	heard chan string
	pong  chan struct{}
	gone  chan struct{}
}

func (v *visit) read() {
	defer close(v.gone)
	v.ws.SetPongHandler(func(string) error {
		v.pong <- struct{}{}
		return nil
	})
	for {
		var m struct{ Type, Content string }
		if err := v.ws.ReadJSON(&m); err != nil {
			return
		}
		if m.Type == "message" {
			v.bot.mu.Lock()
			v.bot.heard = append(v.bot.heard, m.Content)
			v.bot.mu.Unlock()
			v.heard <- m.Content
		}
	}
}

// hear waits for the visitor's next message; "" if the connection ended before.
func (v *visit) hear() string {
	select {
	case m := <-v.heard:
		return m
	case <-v.gone:
		return ""
	}
}

// send writes text frames as they are.
func (v *visit) send(frames ...string) {
	for _, f := range frames {
		_ = v.ws.WriteMessage(websocket.TextMessage, []byte(f)) // a worker that has gone hears nothing, and its test says so
	}
}

// stream says text as one stream, word by word.
func (v *visit) stream(id, text string) {
	v.send(`{"type":"stream_start","message_id":"` + id + `"}`)
	for _, word := range strings.SplitAfter(text, " ") {
		v.send(chunk(id, word))
	}
	v.send(end(id))
}

func chunk(id, text string) string {
	b, _ := json.Marshal(map[string]string{"type": "stream_chunk", "message_id": id, "content": text})
	return string(b)
}

func start(id string) string { return `{"type":"stream_start","message_id":"` + id + `"}` }
func end(id string) string   { return `{"type":"stream_end","message_id":"` + id + `"}` }

func calling(tool string) string {
	return `{"type":"tool_action","tool":"` + tool + `","status":"calling"}`
}

func returned(tool, status string) string {
	return `{"type":"tool_action_result","tool":"` + tool + `","status":"` + status + `"}`
}

const (
	offer  = `{"type":"handoff_offered","message":"Shall I get a person?"}`
	joined = `{"type":"agent_joined","agent_name":"Maya"}`
	wrote  = `{"type":"agent_message","content":"Hello","agent_name":"Maya"}`
	left   = `{"type":"agent_left"}`
)

// pause is a bot that takes its time.
func (v *visit) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-v.gone:
	}
}

// sync waits until the worker has taken every frame that was sent: its reader answers a control ping in its turn.
func (v *visit) sync() {
	_ = v.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
	select {
	case <-v.pong:
	case <-v.gone:
	}
}

// cut ends the socket without a close frame.
func (v *visit) cut() { v.ws.NetConn().Close() }

// closeNow closes the connection as the protocol has it.
func (v *visit) closeNow() {
	_ = v.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
}

// says answers every message with one stream of text.
func says(text string) part {
	return talk(func(v *visit) {
		for n := 0; v.hear() != ""; n++ {
			v.stream(fmt.Sprintf("m%d", n), text)
		}
	})
}
