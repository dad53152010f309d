package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"dgworker/sinks"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ordered enqueues deliveries of one order.
func ordered(t *testing.T, o *Outbox, order string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		d := delivery("refunds", id)
		d.Order = order
		if err := o.Enqueue(ctxOf(t), d); err != nil {
			t.Fatal(err)
		}
	}
}

// The second of an order waits for the first, through its failures and to its end, whatever that is. Other orders, and what
// has none, don't wait.
func TestDeliveriesOfOneOrderAreMadeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, Endpoint{Name: "refunds", Sink: sink, Retry: []time.Duration{0, 300 * time.Millisecond}})
	ordered(t, o, "k", "k1", "k2", "k3")
	first := sink.next(t)
	ordered(t, o, "j", "j1")
	enqueue(t, o, "refunds", "free")
	for range 2 {
		c := sink.next(t)
		if c.ID != "j1" && c.ID != "free" {
			t.Fatalf("%s came before %s was settled", c.ID, first.ID)
		}
		c.ok()
	}
	item(t, o, "k2", Wait)
	first.fail()
	again := sink.next(t)
	if first.ID != "k1" || again.ID != "k1" {
		t.Fatalf("%s, then %s, want k1 to the end", first.ID, again.ID)
	}
	again.fail() // its last attempt: a dead letter
	for _, want := range []string{"k2", "k3"} {
		c := sink.next(t)
		if c.ID != want {
			t.Fatalf("%s, want %s", c.ID, want)
		}
		sink.none(t)
		c.ok()
	}
	if i := item(t, o, "k3", Done); len(i.Attempts) != 1 {
		t.Errorf("waiting counted as attempts: %+v", i.Attempts)
	}
	settledQueue(t, o, "refunds") // acknowledged after the entry was removed
	if left := subjects(t, o.queues.stream); len(left) != 0 {
		t.Errorf("left in the order: %v", left)
	}
	ordered(t, o, "k", "k4")
	under := sink.next(t)
	if err := o.Archive().Retry(ctxOf(t), "k1"); err != nil { // its turn is over: it waits for nobody
		t.Fatal(err)
	}
	redriven := sink.next(t)
	if under.ID != "k4" || redriven.ID != "k1" {
		t.Errorf("delivered %s and %s", under.ID, redriven.ID)
	}
	under.ok()
	redriven.ok()
}

// Several outboxes, many orders, some failures: within each order what was enqueued first is delivered first.
func TestOrderOverSeveralOutboxes(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	var mu sync.Mutex
	got, tries := map[string][]string{}, map[string]int{}
	const orders, each = 5, 8
	done := make(chan string, orders*each)
	sink := sinkFunc(func(_ context.Context, d sinks.Delivery) sinks.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if tries[d.ID]++; tries[d.ID] == 1 && d.ID[len(d.ID)-1] == '3' {
			return failure
		}
		got[d.Order] = append(got[d.Order], d.ID)
		done <- d.ID
		return sinks.Verdict{Class: sinks.Delivered, Status: 200}
	})
	var all []*Outbox
	for range 2 {
		o := open(t, n.connect())
		set(t, o, fast("refunds", sink))
		all = append(all, o)
	}
	for i := range each {
		for k := range orders {
			ordered(t, all[(i+k)%2], fmt.Sprint("k", k), fmt.Sprintf("k%d-%d", k, i))
		}
	}
	for range orders * each {
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("not everything was delivered: %v", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, order := range slices.Sorted(maps.Keys(got)) {
		for i, id := range got[order] {
			if want := fmt.Sprintf("%s-%d", order, i); id != want {
				t.Errorf("order %s: %v", order, got[order])
				break
			}
		}
	}
}

// A worker died between the settlement and the removal of the entry, and another before it had enqueued its action: neither
// entry stands in the way for ever.
func TestEntriesThatWereLeftBehind(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect())
	sink := newManual()
	set(t, o, fast("refunds", sink))
	ordered(t, o, "k", "k1")
	sink.next(t).ok()
	item(t, o, "k1", Done)
	settledQueue(t, o, "refunds")
	ordered(t, o, "k", "k1") // recovery enqueues it once more: the entry comes back, the action doesn't
	ordered(t, o, "k", "k2")
	if c := sink.next(t); c.ID != "k2" {
		t.Fatalf("%s was delivered again", c.ID)
	} else {
		c.ok()
	}
	item(t, o, "k2", Done)
	if wait, err := o.waitFor(ctxOf(t), "refunds", "never-enqueued", time.Now()); wait == 0 || err != nil {
		t.Errorf("one that may yet come is waited for %s, %v", wait, err)
	}
	if wait, err := o.waitFor(ctxOf(t), "refunds", "never-enqueued", time.Now().Add(-turnUnborn)); wait != 0 || err != nil {
		t.Errorf("one that never came is waited for %s, %v", wait, err)
	}
}

// An endpoint that is another after a reload starts afresh: its breaker is closed, and nobody waits for the old one's pause.
func TestAnotherSinkStartsAfresh(t *testing.T) {
	t.Parallel()
	o := open(t, startServer(t).connect(), func(c *Config) { c.Breaker.Requests, c.Breaker.Open, c.Breaker.MaxOpen = 2, time.Hour, time.Hour })
	broken := &always{verdict: sinks.Verdict{Class: sinks.Retry, Reason: "connection refused"}}
	endpoint := Endpoint{Name: "refunds", Sink: broken, Retry: []time.Duration{0}}
	set(t, o, endpoint)
	enqueue(t, o, "refunds", "a1", "a2")
	item(t, o, "a2", Dead)
	item(t, o, "a1", Dead)
	set(t, o, endpoint) // the same: nothing is forgotten
	enqueue(t, o, "refunds", "a3")
	if wait, isOpen := o.lane("refunds").gate.look(); isOpen || wait == 0 {
		t.Error("a reload that changes nothing has closed the breaker")
	}
	mended := newManual()
	endpoint.Sink = mended
	set(t, o, endpoint)
	if c := mended.next(t); c.ID != "a3" {
		t.Errorf("got %s", c.ID)
	} else {
		c.ok()
	}
	item(t, o, "a3", Done)
}

// A replicated stream refuses an entry also while an earlier try is under way, which may come to nothing: an action without one
// would wait for nobody.
func TestAnEntryThatIsUnderWayIsNotThereYet(t *testing.T) {
	t.Parallel()
	b := startServer(t)
	o := open(t, b.connect())
	js := &entriesUnderWay{JetStream: o.cfg.JetStream, tries: 3}
	q := &queues{names: o.queues.names, js: js, stream: o.queues.stream}
	d := sinks.Delivery{ID: "k1", Endpoint: "refunds", Order: "k"}
	for range 2 { // the second time it is there
		if err := q.join(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.stream.GetLastMsgForSubject(t.Context(), q.place(d.Endpoint, d.Order, d.ID)); err != nil || js.tries != 0 {
		t.Errorf("the entry: %v, after %d refusals too few", err, js.tries)
	}
}

// entriesUnderWay refuses so many publishes as a cluster does while an earlier one is under way.
type entriesUnderWay struct {
	jetstream.JetStream
	tries int
}

func (u *entriesUnderWay) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if u.tries > 0 {
		u.tries--
		return nil, &jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant, Description: "wrong last sequence"}
	}
	return u.JetStream.PublishMsg(ctx, m, opts...)
}
