package outbox

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"dgworker/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// natsServer is a real server that can be restarted over its own files, at the same port.
type natsServer struct {
	tb   testing.TB
	opts server.Options
	srv  *server.Server
}

func startServer(tb testing.TB, change ...func(*server.Options)) *natsServer {
	tb.Helper()
	n := &natsServer{tb: tb, opts: server.Options{
		ServerName: "outbox", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true,
	}}
	for _, c := range change {
		c(&n.opts)
	}
	n.start()
	tb.Cleanup(n.stop)
	return n
}

func (n *natsServer) start() {
	opts := n.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		n.tb.Fatalf("new server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		n.tb.Fatal("server isn't ready")
	}
	n.srv, n.opts.Port = srv, opts.Port
}

func (n *natsServer) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// connect returns a connection of its own, with the stream of dead letters in place.
func (n *natsServer) connect() jetstream.JetStream {
	n.tb.Helper()
	js := n.dial()
	_, err := js.CreateOrUpdateStream(ctxOf(n.tb), jetstream.StreamConfig{Name: "DGBOT_DEAD", Subjects: []string{"dgbot.dead.>"}, AllowDirect: true})
	if err != nil {
		n.tb.Fatal(err)
	}
	return js
}

// dial returns a connection of its own.
func (n *natsServer) dial() jetstream.JetStream {
	n.tb.Helper()
	nc, err := nats.Connect(n.srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		n.tb.Fatalf("connect: %v", err)
	}
	n.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		n.tb.Fatal(err)
	}
	return js
}

func ctxOf(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// open returns an outbox that is stopped when the test ends.
func open(tb testing.TB, js jetstream.JetStream, change ...func(*Config)) *Outbox {
	tb.Helper()
	cfg := Config{JetStream: js, Grace: 200 * time.Millisecond}
	if t, ok := tb.(*testing.T); ok {
		cfg.Log = zaptest.NewLogger(t)
	}
	for _, c := range change {
		c(&cfg)
	}
	o, err := New(ctxOf(tb), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = o.Stop(ctx) // some tests leave attempts behind on purpose
	})
	return o
}

func set(tb testing.TB, o *Outbox, endpoints ...Endpoint) {
	tb.Helper()
	if err := o.SetEndpoints(ctxOf(tb), endpoints); err != nil {
		tb.Fatal(err)
	}
}

func enqueue(tb testing.TB, o *Outbox, endpoint string, ids ...string) {
	tb.Helper()
	for _, id := range ids {
		if err := o.Enqueue(ctxOf(tb), delivery(endpoint, id)); err != nil {
			tb.Fatal(err)
		}
	}
}

func delivery(endpoint, id string) sinks.Delivery {
	return sinks.Delivery{
		ID: id, Endpoint: endpoint, Rule: "refund-issued", Prompt: "p-" + id, Bot: "support", Event: "tool_action_result",
		CreatedAt: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Path: "/orders/1", Query: "token=secret",
		Headers: map[string]string{"X-Shop": "eu"}, Body: []byte(`{"order":"1"}`),
	}
}

// call is one attempt that a test's sink was asked for. The sink waits for its answer.
type call struct {
	sinks.Delivery
	answer chan sinks.Verdict
}

func (c call) as(v sinks.Verdict) { c.answer <- v }
func (c call) ok()                { c.as(sinks.Verdict{Class: sinks.Delivered, Status: 200}) }
func (c call) fail()              { c.as(failure) }

var failure = sinks.Verdict{Class: sinks.Retry, Status: 503, Reason: "503 Service Unavailable", Address: "192.0.2.1:443", Excerpt: "busy"}

// manual is a sink whose every attempt the test answers.
type manual chan call

func newManual() manual { return make(manual, 100) }

func (m manual) Deliver(ctx context.Context, d sinks.Delivery) sinks.Verdict {
	c := call{Delivery: d, answer: make(chan sinks.Verdict, 1)}
	m <- c
	select {
	case v := <-c.answer:
		return v
	case <-ctx.Done():
		return sinks.Verdict{Class: sinks.Retry, Reason: context.Cause(ctx).Error()}
	}
}

// next is the next attempt.
func (m manual) next(tb testing.TB) call {
	tb.Helper()
	select {
	case c := <-m:
		return c
	case <-time.After(patience):
		tb.Fatal("no attempt came")
		return call{}
	}
}

// none fails the test if there was an attempt.
func (m manual) none(tb testing.TB) {
	tb.Helper()
	select {
	case c := <-m:
		tb.Fatalf("unexpected attempt of %s", c.ID)
	default:
	}
}

// always is a sink with one answer, which counts.
type always struct {
	verdict sinks.Verdict
	calls   atomic.Int64
	seen    chan string // gets the ids, if it isn't nil
}

func (a *always) Deliver(_ context.Context, d sinks.Delivery) sinks.Verdict {
	a.calls.Add(1)
	if a.seen != nil {
		a.seen <- d.ID
	}
	return a.verdict
}

// item waits until an action is in one of the states and returns it.
func item(tb testing.TB, o *Outbox, id string, states ...State) Item {
	tb.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		i, err := o.Archive().Get(ctxOf(tb), id)
		for _, s := range states {
			if err == nil && i.State == s {
				return i
			}
		}
		last = fmt.Sprintf("%s (%v)", i.State, err)
		_ = sleep(context.Background(), 5*time.Millisecond)
	}
	tb.Fatalf("action %s is %s, want %v", id, last, states)
	return Item{}
}

// subjects returns the subjects that a stream holds, with how many messages each.
func subjects(tb testing.TB, s jetstream.Stream) map[string]uint64 {
	tb.Helper()
	info, err := s.Info(ctxOf(tb), jetstream.WithSubjectFilter(">"))
	if err != nil {
		tb.Fatal(err)
	}
	return info.State.Subjects
}

// settledQueue waits until an endpoint's consumer has nothing left.
func settledQueue(tb testing.TB, o *Outbox, endpoint string) {
	tb.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		info, err := o.store.actions.Consumer(ctxOf(tb), endpoint)
		if err == nil {
			i := info.CachedInfo()
			if i.NumPending == 0 && i.NumAckPending == 0 {
				return
			}
		}
		_ = sleep(context.Background(), 5*time.Millisecond)
	}
	tb.Fatalf("endpoint %s still has actions", endpoint)
}

func fast(name string, sink sinks.Sink) Endpoint {
	return Endpoint{Name: name, Sink: sink, Retry: []time.Duration{0, 20 * time.Millisecond, 20 * time.Millisecond}}
}
