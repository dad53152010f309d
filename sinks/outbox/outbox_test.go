package outbox

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"dgworker/sinks"

	"github.com/nats-io/nats.go/jetstream"
)

func TestDeliveredActionLeavesASmallMarker(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")

	c := sink.next(t)
	if string(c.Body) != `{"order":"1"}` || c.Query != "token=secret" || c.Headers["X-Shop"] != "eu" {
		t.Fatalf("the sink got %+v", c.Delivery)
	}
	c.as(sinks.Verdict{Class: sinks.Delivered, Status: 202, Address: "192.0.2.1:443", Excerpt: "thanks"})

	got := item(t, o, "a1", Done)
	if len(got.Attempts) != 1 || got.Attempts[0].Status != 202 || got.Attempts[0].Excerpt != "thanks" || got.Attempts[0].N != 1 {
		t.Errorf("attempt log is %+v", got.Attempts)
	}
	if got.Delivery.Body != nil || got.Delivery.Query != "" || got.Delivery.Rule != "refund-issued" {
		t.Errorf("marker holds %+v", got.Delivery)
	}
	settledQueue(t, o, "refunds")
	want := map[string]uint64{"dgbot.actions.refunds.a1.done": 1}
	if s := subjects(t, o.store.actions); !maps.Equal(s, want) {
		t.Errorf("stream holds %v, want %v", s, want)
	}
}

func TestHappyPathIsOnePublishEach(t *testing.T) {
	t.Parallel()
	js := startServer(t).connect()
	o := open(t, js)
	sink := newManual()
	set(t, o, fast("refunds", sink))
	before := lastSeq(t, o)
	enqueue(t, o, "refunds", "a1")
	sink.next(t).ok()
	item(t, o, "a1", Done)
	if n := lastSeq(t, o) - before; n != 2 {
		t.Errorf("enqueue and settle took %d publishes, want 2", n)
	}
}

func lastSeq(t *testing.T, o *Outbox) uint64 {
	t.Helper()
	info, err := o.store.actions.Info(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

func TestEnqueueIsIdempotent(t *testing.T) {
	t.Parallel()
	for _, verdict := range []sinks.Class{"", sinks.Delivered, sinks.Permanent, sinks.Retry} {
		t.Run("after "+string(verdict), func(t *testing.T) {
			t.Parallel()
			o := open(t, startServer(t).connect())
			sink := newManual()
			enqueue(t, o, "refunds", "a1", "a1")
			if verdict != "" {
				set(t, o, Endpoint{Name: "refunds", Sink: sink, Retry: []time.Duration{0, time.Hour}})
				sink.next(t).as(sinks.Verdict{Class: verdict, Reason: "so"})
				item(t, o, "a1", Done, Dead, Wait)
				settledQueue(t, o, "refunds")
			}
			before := lastSeq(t, o)
			enqueue(t, o, "refunds", "a1", "a1")
			if after := lastSeq(t, o); after != before {
				t.Errorf("enqueued again: sequence %d, was %d", after, before)
			}
			sink.none(t)
		})
	}
}

func TestEnqueueRacersStoreOne(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	a, b := open(t, n.connect()), open(t, n.connect())
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := []*Outbox{a, b}[i%2].Enqueue(ctxOf(t), delivery("refunds", "a1")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := subjects(t, a.store.actions); s["dgbot.actions.refunds.a1.todo"] != 1 {
		t.Errorf("stream holds %v", s)
	}
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	big := delivery("refunds", "big")
	big.Body = make([]byte, 1<<20)
	if err := o.Enqueue(ctxOf(t), big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, d := range []sinks.Delivery{delivery("refunds", "a.b"), delivery("re*", "a"), delivery("", "a"), delivery("refunds", strings.Repeat("x", 65))} {
		if err := o.Enqueue(ctxOf(t), d); err == nil {
			t.Errorf("enqueued %s of %s", d.ID, d.Endpoint)
		}
	}
	if err := o.Stop(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := o.Enqueue(ctxOf(t), delivery("refunds", "late")); !errors.Is(err, ErrStopped) {
		t.Errorf("after Stop: %v", err)
	}
}

func TestRetriesByScheduleUntilDead(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	for range 3 {
		sink.next(t).fail()
	}
	got := item(t, o, "a1", Dead)
	if len(got.Attempts) != 3 || got.Attempts[2].N != 3 || string(got.Delivery.Body) != `{"order":"1"}` {
		t.Errorf("dead letter is %+v", got)
	}
	if got.Reason != "gave up after 3 of 3 attempts: 503 Service Unavailable" {
		t.Errorf("reason is %q", got.Reason)
	}
	settledQueue(t, o, "refunds")
	want := map[string]uint64{"dgbot.actions.refunds.a1.done": 1}
	if s := subjects(t, o.store.actions); !maps.Equal(s, want) {
		t.Errorf("stream holds %v, want %v", s, want)
	}
}

func TestFirstAttemptCanBeDelayed(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, Endpoint{Name: "refunds", Sink: sink, Retry: []time.Duration{time.Hour}})
	enqueue(t, o, "refunds", "a1", "a1")
	got := item(t, o, "a1", Wait)
	if d := time.Until(got.Next); d < 47*time.Minute || d > 73*time.Minute {
		t.Errorf("first attempt in %v", d)
	}
	sink.none(t)
}

func TestTwoOutboxesDeliverOnce(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	a, b := open(t, n.connect()), open(t, n.connect())
	const actions = 200
	sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered}, seen: make(chan string, 10*actions)}
	set(t, a, fast("refunds", sink))
	set(t, b, fast("refunds", sink))
	for i := range actions {
		enqueue(t, []*Outbox{a, b}[i%2], "refunds", "a"+string(rune('A'+i%26))+string(rune('a'+i/26)))
	}
	seen := map[string]int{}
	for range actions {
		select {
		case id := <-sink.seen:
			seen[id]++
		case <-time.After(patience):
			t.Fatalf("only %d actions came", len(seen))
		}
	}
	settledQueue(t, a, "refunds")
	if markers := len(subjects(t, a.store.actions)); markers != actions {
		t.Errorf("%d markers of %d actions", markers, actions)
	}
	if len(seen) != actions || sink.calls.Load() != actions {
		t.Errorf("%d calls for %d of %d actions", sink.calls.Load(), len(seen), actions)
	}
}

func TestStopWaitsForAttempts(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1")
	c := sink.next(t)
	stopped := make(chan error, 2)
	go func() { stopped <- o.Stop(ctxOf(t)) }()
	go func() { stopped <- o.Stop(ctxOf(t)) }()
	<-o.running.Done()
	enqueueRaw(t, o, "a2") // nobody takes it any more
	o.watcher.Wait()
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned %v with an attempt under way", err)
	case <-time.After(50 * time.Millisecond): // the only sign of waiting is that nothing happens
	}
	c.ok()
	for range 2 {
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
	sink.none(t)
	item(t, o, "a1", Done)
	if i := item(t, o, "a2", Todo); len(i.Attempts) != 0 {
		t.Errorf("a2 is %+v", i)
	}
}

// given is a message that notes that it was given back.
type given struct {
	jetstream.Msg
	back bool
}

func (g *given) Nak() error { g.back = true; return nil }

// From the moment that the outbox stops nothing is begun, also by a lane that has not heard of it yet.
func TestNothingBeginsAfterStop(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	set(t, o, fast("refunds", newManual()))
	lane := o.snapshot()[0]
	o.halt()
	msg := new(given)
	if lane.take(context.Background(), msg); !msg.back {
		t.Error("an action was begun after Stop")
	}
}

func TestStopCutsOffAndGivesBack(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	a, b := open(t, n.connect()), open(t, n.connect())
	first, second := newManual(), newManual()
	set(t, a, fast("refunds", first))
	enqueue(t, a, "refunds", "a1")
	first.next(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("drain timeout"))
	if err := a.Stop(ctx); err == nil || !strings.Contains(err.Error(), "drain timeout") {
		t.Errorf("Stop returned %v", err)
	}
	set(t, b, fast("refunds", second)) // gets it at once: AckWait is 10s here
	second.next(t).ok()
	if i := item(t, b, "a1", Done); len(i.Attempts) != 1 {
		t.Errorf("the cut-off attempt counts: %+v", i.Attempts)
	}
}

// enqueueRaw enqueues past an outbox that is stopping.
func enqueueRaw(t *testing.T, o *Outbox, id string) {
	t.Helper()
	if err := o.store.toTodo(ctxOf(t), record{Delivery: delivery("refunds", id)}, 0); err != nil {
		t.Fatal(err)
	}
}
