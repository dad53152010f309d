package outbox

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dgworker/sinks"
)

// hanging is an endpoint whose attempts never end by themselves.
type hanging struct{ running atomic.Int64 }

func (h *hanging) Deliver(ctx context.Context, _ sinks.Delivery) sinks.Verdict {
	h.running.Add(1)
	defer h.running.Add(-1)
	<-ctx.Done()
	return sinks.Verdict{Class: sinks.Retry, Reason: context.Cause(ctx).Error()}
}

// fill enqueues many actions.
func fill(tb testing.TB, o *Outbox, endpoint string, n int) {
	tb.Helper()
	var wg sync.WaitGroup
	const at = 32
	for w := range at {
		wg.Go(func() {
			for i := w; i < n; i += at {
				if err := o.Enqueue(context.Background(), delivery(endpoint, fmt.Sprintf("%s-%d", endpoint, i))); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDeadEndpointHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	stuck, sink := &hanging{}, newManual()
	fill(t, o, "stuck", 2000)
	set(t, o, Endpoint{Name: "stuck", Sink: stuck, Timeout: time.Hour}, fast("refunds", sink))
	for i := range 20 {
		enqueue(t, o, "refunds", fmt.Sprintf("a%d", i))
		sink.next(t).ok()
	}
	if n := stuck.running.Load(); n > 8 {
		t.Errorf("%d attempts at once, want 8 at most", n)
	}
	info, err := (*o.lane("stuck").consumer.Load()).Info(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.NumAckPending > 8 { // what it holds beyond its slots, no other worker could take
		t.Errorf("the lane holds %d actions for 8 slots", info.NumAckPending)
	}
}

func TestBreakerUsesNoAttempts(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect(), func(c *Config) {
		c.Breaker.Requests, c.Breaker.Open, c.Breaker.MaxOpen = 4, 150*time.Millisecond, 300*time.Millisecond
	})
	sink := newManual()
	e := Endpoint{Name: "refunds", Sink: sink, Concurrency: 1, Retry: []time.Duration{0, time.Hour}}
	set(t, o, e)
	var ids []string
	for i := range 8 {
		ids = append(ids, fmt.Sprintf("a%d", i))
	}
	enqueue(t, o, "refunds", ids...)
	for range 4 {
		sink.next(t).fail()
	}
	opened := time.Now()
	probe := sink.next(t)
	if waited := time.Since(opened); waited < 140*time.Millisecond {
		t.Errorf("the probe came after %v", waited)
	}
	e.Concurrency = 8
	set(t, o, e) // there are slots enough now
	sink.none(t)
	probe.fail()
	reopened := time.Now()
	probe = sink.next(t)
	if waited := time.Since(reopened); waited < 290*time.Millisecond {
		t.Errorf("the second probe came after %v", waited)
	}
	sink.none(t)
	probe.ok()
	for range 2 { // closed: the others come at once, side by side
		defer sink.next(t).ok()
	}
	for _, id := range ids[6:] {
		if i := item(t, o, id, Todo); len(i.Attempts) != 0 {
			t.Errorf("%s waited at an open breaker and has %+v", id, i.Attempts)
		}
	}
}

func TestRetryAfterHoldsTheEndpoint(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o, other := open(t, n.connect()), open(t, n.connect())
	sink, elsewhere, healthy := newManual(), newManual(), newManual()
	set(t, o, Endpoint{Name: "refunds", Sink: sink, Concurrency: 1}, fast("healthy", healthy))
	enqueue(t, o, "refunds", "a1", "a2")
	asked := time.Now().Truncate(time.Millisecond)
	sink.next(t).as(sinks.Verdict{Class: sinks.Retry, Status: 429, RetryAfter: 30 * time.Minute})
	if got := item(t, o, "a1", Wait); got.Next.Before(asked.Add(30*time.Minute)) || got.Next.After(asked.Add(31*time.Minute)) {
		t.Errorf("next attempt at %v", got.Next)
	}
	set(t, other, Endpoint{Name: "refunds", Sink: elsewhere}) // the other worker knows of it too
	enqueue(t, o, "healthy", "h1")
	healthy.next(t).ok()
	item(t, o, "h1", Done)
	sink.none(t)
	elsewhere.none(t)
	if i := item(t, o, "a2", Todo); len(i.Attempts) != 0 {
		t.Errorf("a2 has %+v", i.Attempts)
	}
	for _, l := range []*lane{o.lane("refunds"), other.lane("refunds")} {
		waitFor(t, "the pause to reach every worker", func() bool {
			wait, open := l.gate.look()
			return !open && wait > 29*time.Minute
		})
	}
	if err := o.Enable(ctxOf(t), "refunds"); err != nil { // an operator knows better
		t.Fatal(err)
	}
	select {
	case c := <-sink:
		c.ok()
	case c := <-elsewhere:
		c.ok()
	case <-time.After(patience):
		t.Fatal("the lane stays closed")
	}
	item(t, o, "a2", Done)
}

func TestGoneParksUntilEnabled(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o, other := open(t, n.connect()), open(t, n.connect())
	sink, elsewhere := newManual(), newManual()
	busy := fast("refunds", elsewhere)
	busy.Concurrency = 1
	set(t, other, busy)
	enqueue(t, o, "refunds", "b1")
	b1 := elsewhere.next(t) // until the news has reached it, the other worker has no slot
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	c := sink.next(t)
	c.as(sinks.Verdict{Class: sinks.Gone, Status: 410, Reason: "410 Gone"})

	waitFor(t, "the endpoint to be disabled", func() bool {
		list, err := o.Disabled(ctxOf(t))
		return err == nil && len(list) == 1 && list[0].Endpoint == "refunds" && list[0].Action == "a1" && list[0].Reason == "410 Gone"
	})
	waitFor(t, "the other worker to hear of it", func() bool { disabled, _ := other.marks.of("refunds"); return disabled })
	b1.ok()
	item(t, o, "b1", Done)
	enqueue(t, o, "refunds", "a2")
	late := open(t, n.connect()) // a worker that starts now finds it parked
	set(t, late, fast("refunds", elsewhere))
	if _, open := late.lane("refunds").gate.look(); open {
		t.Error("a worker that starts takes actions of a disabled endpoint")
	}
	waitFor(t, "the action to be put back", func() bool { return len(item(t, o, "a1", Todo).Attempts) == 1 })
	sink.none(t)
	elsewhere.none(t)

	if err := late.Enable(ctxOf(t), "refunds"); err != nil {
		t.Fatal(err)
	}
	if err := late.Enable(ctxOf(t), "never"); err == nil || !strings.Contains(err.Error(), "not disabled") {
		t.Errorf("enabling what isn't disabled: %v", err)
	}
	for range 2 {
		select {
		case c = <-sink:
		case c = <-elsewhere:
		case <-time.After(patience):
			t.Fatal("the lane stays parked")
		}
		c.ok()
	}
	if got := item(t, o, "a1", Done); len(got.Attempts) != 2 {
		t.Errorf("attempts are %+v", got.Attempts)
	}
	if list, err := o.Disabled(ctxOf(t)); err != nil || len(list) != 0 {
		t.Errorf("disabled: %v, %v", list, err)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	before, after, other := newManual(), newManual(), newManual()
	set(t, o, fast("refunds", before), fast("orders", other))
	enqueue(t, o, "refunds", "a1")
	running := before.next(t)

	set(t, o, fast("refunds", after))
	enqueue(t, o, "refunds", "a2")
	enqueue(t, o, "orders", "b1")
	after.next(t).ok() // the new sink from the next attempt on
	running.ok()       // the old one finishes what it began
	item(t, o, "a1", Done)
	item(t, o, "a2", Done)
	item(t, o, "b1", Todo) // its endpoint is no longer named
	other.none(t)

	if err := o.SetEndpoints(ctxOf(t), []Endpoint{fast("orders", other), fast("orders", other), {Name: "no sink"}}); err == nil ||
		!strings.Contains(err.Error(), "twice") || !strings.Contains(err.Error(), "no sink") {
		t.Errorf("wrong endpoints: %v", err)
	}
	enqueue(t, o, "refunds", "a3") // and nothing has changed by them
	after.next(t).ok()
	set(t, o, fast("orders", other))
	other.next(t).ok()
	item(t, o, "b1", Done)
}

func TestSinkPanicIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	var calls atomic.Int64
	set(t, o, fast("refunds", sinkFunc(func(context.Context, sinks.Delivery) sinks.Verdict {
		if calls.Add(1) == 1 {
			panic("nil map")
		}
		return sinks.Verdict{Class: sinks.Delivered}
	})))
	enqueue(t, o, "refunds", "a1")
	got := item(t, o, "a1", Done)
	if len(got.Attempts) != 2 || got.Attempts[0].Reason != "sink panicked: nil map" || got.Attempts[0].Class != sinks.Retry {
		t.Errorf("attempts are %+v", got.Attempts)
	}
}

type sinkFunc func(context.Context, sinks.Delivery) sinks.Verdict

func (f sinkFunc) Deliver(ctx context.Context, d sinks.Delivery) sinks.Verdict { return f(ctx, d) }

func TestAttemptIsBounded(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	set(t, o, Endpoint{Name: "refunds", Sink: &hanging{}, Timeout: 30 * time.Millisecond, Retry: []time.Duration{0}})
	enqueue(t, o, "refunds", "a1")
	if got := item(t, o, "a1", Dead); !strings.Contains(got.Reason, "attempt took longer than 30ms") {
		t.Errorf("reason is %q", got.Reason)
	}
}

// An attempt that lasts for longer than AckWait stays with its worker, because of the heartbeats that NATS sees.
func TestHeartbeatKeepsALongAttempt(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	js := n.connect()
	unhurried := func(c *Config) { c.AckWait = 2 * time.Second } // a busy machine may be late by most of that
	o, other := open(t, js, unhurried), open(t, n.connect(), unhurried)
	beats := make(chan *nats.Msg, 100)
	sub, err := js.Conn().ChanSubscribe("$JS.ACK.DGBOT_ACTIONS.>", beats)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	sink := newManual()
	set(t, o, fast("refunds", sink))
	set(t, other, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	c := sink.next(t)
	for range 4 { // beyond AckWait
		select {
		case m := <-beats:
			if string(m.Data) != "+WPI" {
				t.Fatalf("got %q instead of a heartbeat", m.Data)
			}
		case <-time.After(patience):
			t.Fatal("no heartbeat")
		}
	}
	sink.none(t)
	c.ok()
	if i := item(t, o, "a1", Done); len(i.Attempts) != 1 {
		t.Errorf("attempts are %+v", i.Attempts)
	}
}

func TestForeignMessageBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	js := startServer(t).connect()
	o := open(t, js)
	sink := newManual()
	set(t, o, fast("refunds", sink))
	for id, body := range map[string]string{"x1": "not json", "x2": `{"delivery":{"id":"other","endpoint":"refunds"}}`} {
		if _, err := js.Publish(ctxOf(t), "dgbot.actions.refunds."+id+".todo", []byte(body)); err != nil {
			t.Fatal(err)
		}
		got := item(t, o, id, Dead)
		if got.Reason != reasonForeign || string(got.Delivery.Body) != body {
			t.Errorf("dead letter is %+v", got)
		}
	}
	sink.none(t)
}

// An action that nobody lives to settle ends, instead of taking workers down for ever.
func TestPoisonEnds(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect(), func(c *Config) { c.MaxDeliveries = 2 })
	enqueue(t, o, "refunds", "a1")
	for range 2 {
		_, msg := hold(t, o)
		if err := msg.Nak(); err != nil { // as if AckWait had passed
			t.Fatal(err)
		}
	}
	sink := newManual()
	set(t, o, fast("refunds", sink))
	if got := item(t, o, "a1", Dead); got.Reason != "taken 2 times, and no worker lived to record how it went" {
		t.Errorf("reason is %q", got.Reason)
	}
	sink.none(t)
}

func TestRateSpacesAttempts(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered}, seen: make(chan string, 10)}
	e := fast("refunds", sink)
	e.Rate = 20
	begin := time.Now()
	set(t, o, e)
	enqueue(t, o, "refunds", "a1", "a2", "a3", "a4", "a5")
	for range 5 {
		<-sink.seen
	}
	if took := time.Since(begin); took < 140*time.Millisecond {
		t.Errorf("five attempts at 20 a second took %v", took)
	}
}

func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain for %s", what)
		}
		_ = sleep(context.Background(), 2*time.Millisecond)
	}
}
