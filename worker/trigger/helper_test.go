package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dgworker/rules"
	"dgworker/sinks/outbox"
	"dgworker/worker/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// world is a real NATS server with the streams of a worker.
type world struct {
	*testing.T
	ctx context.Context
	srv *server.Server
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: "trigger", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("server isn't ready")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, srv: srv}
	w.nc, w.js = w.connect()
	return w
}

func (w *world) connect() (*nats.Conn, jetstream.JetStream) {
	w.Helper()
	nc, err := nats.Connect(w.srv.ClientURL())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		w.Fatal(err)
	}
	return nc, js
}

// service is one worker's triggers on a connection of their own.
type service struct {
	*Service
	w    *world
	logs *observer.ObservedLogs
}

func (w *world) service(triggers string, change ...func(*Config)) *service {
	w.Helper()
	nc, js := w.connect()
	core, logs := observer.New(zapcore.InfoLevel)
	c := Config{Log: zap.New(core), Metrics: prometheus.NewRegistry(), Refresh: 50 * time.Millisecond}
	var err error
	c.Queue, err = queue.Open(w.ctx, queue.Config{Conn: nc, JetStream: js, Storage: jetstream.MemoryStorage, AckWait: time.Second, Log: c.Log},
		outbox.StreamConfig(outbox.Config{JetStream: js, Storage: jetstream.MemoryStorage}))
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range change {
		f(&c)
	}
	s, err := Start(c)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.Stop(ctx)
	})
	out := &service{s, w, logs}
	out.use(triggers)
	return out
}

// set compiles triggers, each a flow map on a line of its own.
func (w *world) set(triggers string) *rules.Set {
	w.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte("bots: {support: {key: k}}\ntriggers:\n" + triggers)}}, nil)
	if err != nil {
		w.Fatal(err)
	}
	return set
}

func (s *service) use(triggers string) {
	s.w.Helper()
	if err := s.Use(s.w.ctx, s.w.set(triggers)); err != nil {
		s.w.Fatal(err)
	}
}

// counted is how often a trigger came to a result.
func (s *service) counted(trigger, result string) int {
	return int(testutil.ToFloat64(s.events.WithLabelValues(trigger, result)))
}

func (s *service) said(text string) int { return s.logs.FilterMessageSnippet(text).Len() }

func (w *world) stream(name string, subjects ...string) jetstream.Stream {
	w.Helper()
	return w.streamOf(jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.MemoryStorage})
}

func (w *world) streamOf(c jetstream.StreamConfig) jetstream.Stream {
	w.Helper()
	stream, err := w.js.CreateOrUpdateStream(w.ctx, c)
	if err != nil {
		w.Fatal(err)
	}
	return stream
}

// publish sends an event on core NATS, which a stream stores too.
func (w *world) publish(subject, payload string, headers ...string) {
	w.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(payload), Header: nats.Header{}}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if err := w.nc.PublishMsg(msg); err != nil {
		w.Fatal(err)
	}
	if err := w.nc.Flush(); err != nil {
		w.Fatal(err)
	}
}

// prompt is a prompt as it was stored.
type prompt struct {
	subject string
	header  nats.Header
	payload
}

func (p prompt) said() string { return strings.Join(p.Messages, "|") }

// prompts returns the prompts that were stored, in order, once there are n.
func (w *world) prompts(n int) []prompt {
	w.Helper()
	var all []prompt
	w.eventually(fmt.Sprintf("%d prompts", n), func() bool { all = w.storedPrompts(); return len(all) >= n })
	if len(all) > n {
		w.Fatalf("%d prompts, want %d: %v", len(all), n, all)
	}
	return all
}

func (w *world) storedPrompts() []prompt {
	w.Helper()
	var all []prompt
	for _, msg := range w.stored("DGBOT_PROMPTS", "dgbot.prompts.>") {
		p := prompt{subject: msg.Subject, header: msg.Header}
		if err := json.Unmarshal(msg.Data, &p.payload); err != nil {
			w.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// stored returns what a stream holds under a subject.
func (w *world) stored(stream, subject string) []*jetstream.RawStreamMsg {
	w.Helper()
	s, err := w.js.Stream(w.ctx, stream)
	if err != nil {
		w.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for seq := uint64(1); ; seq++ {
		msg, err := s.GetMsg(w.ctx, seq, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return all
		}
		all, seq = append(all, msg), msg.Sequence
	}
}

// eventually waits for a state of NATS that nothing announces.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for !is() {
		if pause(ctx, 5*time.Millisecond) != nil {
			w.Fatalf("not in time: %s", what)
		}
	}
}
