package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

// patientBreaker never opens.
func patientBreaker(c *Config) { c.Breaker.Requests = 1e6 }

// Actions that wait for their next attempt are schedules in NATS: they survive the restart of the server and of the
// worker, and fire.
func TestWaitingActionsSurviveRestarts(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	const actions = 50
	due := time.Now().Add(700 * time.Millisecond)
	for i := range actions {
		rec := record{Delivery: delivery("refunds", fmt.Sprintf("a%d", i))}.logged(time.Now(), time.Second, failure)
		if err := o.store.toWait(ctxOf(t), rec, 0, due); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Stop(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start()
	again := open(t, n.connect())
	sink := newManual()
	set(t, again, fast("refunds", sink))
	seen := map[string]bool{}
	for range actions {
		c := sink.next(t)
		if early := time.Until(due); early > 0 {
			t.Fatalf("%s came %v early", c.ID, early)
		}
		seen[c.ID] = true
		c.ok()
	}
	if len(seen) != actions {
		t.Errorf("%d of %d actions came", len(seen), actions)
	}
	settledQueue(t, again, "refunds")
	if got := item(t, again, "a0", Done); len(got.Attempts) != 2 {
		t.Errorf("attempts are %+v", got.Attempts)
	}
}

// NATS goes away while an attempt runs and comes back. The destination said yes once; the outbox keeps that in mind
// until it can record it, and the lane goes on by itself.
func TestResultOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect(), func(c *Config) { c.SettleTimeout = 200 * time.Millisecond })
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	c := sink.next(t)
	n.stop()
	c.ok()
	waitFor(t, "the lane to notice", func() bool { return !o.cfg.JetStream.Conn().IsConnected() })
	n.start()
	if got := item(t, o, "a1", Done); len(got.Attempts) != 1 {
		t.Errorf("attempts are %+v", got.Attempts)
	}
	enqueue(t, o, "refunds", "a2")
	sink.next(t).ok()
	item(t, o, "a2", Done)
	sink.none(t)
}

// flaky refuses some publishes, as a cluster does that has no leader just now.
type flaky struct {
	jetstream.JetStream
	failures atomic.Int64
}

func (f *flaky) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if f.failures.Add(-1) >= 0 {
		return nil, errors.New("no leader")
	}
	return f.JetStream.PublishMsg(ctx, m, opts...)
}

func TestResultIsKeptUntilItIsStored(t *testing.T) {
	t.Parallel()
	js := &flaky{JetStream: startServer(t).connect()}
	o := open(t, js)
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	c := sink.next(t)
	js.failures.Store(3)
	c.ok()
	settledQueue(t, o, "refunds")
	if got := item(t, o, "a1", Done); len(got.Attempts) != 1 || js.failures.Load() >= 0 {
		t.Errorf("attempts are %+v", got.Attempts)
	}
	sink.none(t)
}

// Somebody deletes the lane's consumer by hand: the lane makes it anew.
func TestLaneSurvivesTheLossOfItsConsumer(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	sink.next(t).ok()
	item(t, o, "a1", Done)
	settledQueue(t, o, "refunds")
	if err := o.store.actions.DeleteConsumer(ctxOf(t), "refunds"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, o, "refunds", "a2")
	sink.next(t).ok()
	item(t, o, "a2", Done)
}

// The stream's consumers are lost before a settled action was acknowledged: nothing says that it was taken before, and
// still it isn't sent again.
func TestOldActionIsLookedAtBeforeItIsSent(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect(), func(c *Config) { c.AckWait = 50 * time.Millisecond })
	enqueue(t, o, "refunds", "a1")
	held, _ := hold(t, o)
	if err := o.store.toDone(ctxOf(t), held.record, held.seq, Done, ""); err != nil {
		t.Fatal(err)
	}
	if err := o.store.actions.DeleteConsumer(ctxOf(t), "refunds"); err != nil {
		t.Fatal(err)
	}
	if err := sleep(t.Context(), 60*time.Millisecond); err != nil { // it grows old
		t.Fatal(err)
	}
	sink := newManual()
	set(t, o, fast("refunds", sink))
	settledQueue(t, o, "refunds")
	sink.none(t)
}

// Bodies and answers of the biggest size still fit, through all attempts and into the dead letter. The server takes a
// quarter of the usual, to keep the test quick.
func TestBiggestRecordsFit(t *testing.T) {
	t.Parallel()
	n := startServer(t, func(opts *server.Options) { opts.MaxPayload = 256 << 10 })
	o := open(t, n.connect(), patientBreaker)
	big := failure
	big.Excerpt, big.Reason = strings.Repeat("\x01", 16<<10), strings.Repeat("r", 5000) // six bytes each as JSON
	set(t, o, Endpoint{Name: "refunds", Sink: &always{verdict: big}, Retry: make([]time.Duration, 6)})
	for id, size := range map[string]int{"half": 64 << 10, "most": (o.store.limit() - o.cfg.Reserve - 600) / 4 * 3} {
		d := delivery("refunds", id)
		d.Body = make([]byte, size)
		if err := o.Enqueue(ctxOf(t), d); err != nil {
			t.Fatal(err)
		}
		got := item(t, o, id, Dead)
		if len(got.Attempts) != 6 || got.Attempts[5].N != 6 || got.Attempts[5].Status != 503 || len(got.Delivery.Body) != size {
			t.Errorf("%s: %d attempts are left of 6, body %d of %d bytes", id, len(got.Attempts), len(got.Delivery.Body), size)
		}
	}
}

func TestStopWhileNATSIsAwayIsBounded(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	set(t, o, fast("refunds", &always{verdict: sinks.Verdict{Class: sinks.Delivered}}), fast("orders", &always{}))
	n.stop()
	waitFor(t, "the connection to notice", func() bool { return !o.cfg.JetStream.Conn().IsConnected() })
	begin := time.Now()
	if err := o.Stop(ctxOf(t)); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("Stop took %v", took)
	}
	n.start()
}
