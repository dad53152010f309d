package outbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"dgworker/sinks"
)

// kill makes a dead letter of an action.
func kill(t *testing.T, o *Outbox, id string) {
	t.Helper()
	set(t, o, fast("refunds", &always{verdict: sinks.Verdict{Class: sinks.Permanent, Reason: "redirect", Status: 302}}))
	enqueue(t, o, "refunds", id)
	item(t, o, id, Dead)
	settledQueue(t, o, "refunds")
	set(t, o)
}

func archive(t *testing.T, n *natsServer) *Archive {
	t.Helper()
	a, err := OpenArchive(ctxOf(t), n.connect(), "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRetryKeepsIdAndContent(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	kill(t, o, "a1")
	a := archive(t, n)
	if err := a.Retry(ctxOf(t), "a1"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.DeadShow(ctxOf(t), "a1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the dead letter: %v", err)
	}
	want := map[string]uint64{"dgbot.actions.refunds.a1.todo": 1}
	if s := subjects(t, o.store.actions); !maps.Equal(s, want) {
		t.Errorf("stream holds %v, want %v", s, want)
	}
	enqueue(t, o, "refunds", "a1") // a crashed worker's recovery comes by: still once
	sink := newManual()
	set(t, o, fast("refunds", sink))
	c := sink.next(t)
	d := delivery("refunds", "a1")
	if c.ID != "a1" || string(c.Body) != string(d.Body) || c.Query != d.Query || !maps.Equal(c.Headers, d.Headers) {
		t.Errorf("redriven as %+v", c.Delivery)
	}
	for range 2 { // its schedule has begun anew: three attempts
		c.fail()
		c = sink.next(t)
	}
	c.ok()
	got := item(t, o, "a1", Done)
	var numbers []int
	for _, a := range got.Attempts {
		numbers = append(numbers, a.N)
	}
	if !slices.Equal(numbers, []int{1, 2, 3, 4}) {
		t.Errorf("attempts are numbered %v", numbers)
	}
	sink.none(t)
}

// Within NATS's window for duplicates an action may die again and be redriven again: each step has an id of its own.
func TestRetryAgainAndAgain(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	kill(t, o, "a1")
	a := archive(t, n)
	for i := range 3 {
		if err := a.Retry(ctxOf(t), "a1"); err != nil {
			t.Fatal(err)
		}
		item(t, o, "a1", Todo)
		set(t, o, fast("refunds", &always{verdict: sinks.Verdict{Class: sinks.Permanent, Reason: "again"}}))
		got := item(t, o, "a1", Dead)
		if len(got.Attempts) != i+2 || got.Reason != "again" || string(got.Delivery.Body) != `{"order":"1"}` {
			t.Fatalf("died %d times: %+v", i+2, got)
		}
		settledQueue(t, o, "refunds")
		if s := subjects(t, o.store.actions); !maps.Equal(s, map[string]uint64{"dgbot.actions.refunds.a1.done": 1}) {
			t.Fatalf("stream holds %v", s)
		}
		set(t, o)
	}
}

// A Retry is cut off before each of its removals, and the action may have gone on meanwhile in every way.
func TestRetryCutOffMakesNoSecondCopy(t *testing.T) {
	t.Parallel()
	for name, goOn := range map[string]func(t *testing.T, o *Outbox){
		"still todo": func(*testing.T, *Outbox) {},
		"delivered": func(t *testing.T, o *Outbox) {
			set(t, o, fast("refunds", &always{verdict: sinks.Verdict{Class: sinks.Delivered}}))
			item(t, o, "a1", Done)
		},
		"waiting": func(t *testing.T, o *Outbox) {
			set(t, o, Endpoint{Name: "refunds", Sink: &always{verdict: failure}, Retry: []time.Duration{0, time.Hour}})
			item(t, o, "a1", Wait)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startServer(t)
			o := open(t, n.connect())
			kill(t, o, "a1")
			a := archive(t, n)
			letter, err := a.findLetter(ctxOf(t), "a1")
			if err != nil {
				t.Fatal(err)
			}
			last, err := a.store.last(ctxOf(t), "refunds", "a1")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.revive(ctxOf(t), letter, last); err != nil { // and here the command is killed
				t.Fatal(err)
			}
			goOn(t, o)
			before := lastSeq(t, o)
			if got := ids(t, a, Filter{State: Dead}); len(got) != 0 {
				t.Errorf("listed as dead: %v", got)
			}
			if err := a.Retry(ctxOf(t), "a1"); err != nil {
				t.Fatal(err)
			}
			if after := lastSeq(t, o); after != before {
				t.Error("there is a second copy")
			}
			if s := subjects(t, o.store.letters); len(s) != 0 {
				t.Errorf("dead letters are %v", s)
			}
			if got := ids(t, a, Filter{}); !slices.Equal(got, []string{"a1"}) {
				t.Errorf("listed: %v", got)
			}
		})
	}
}

// The command is killed at its one publish, before and after NATS has stored it: nothing was removed before.
func TestRetryRemovesNothingBeforeItsCopyIsStored(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			t.Parallel()
			n := startServer(t)
			o := open(t, n.connect())
			kill(t, o, "a1")
			js := &dying{JetStream: n.connect(), stored: stored, dead: make(chan struct{})}
			js.left.Store(1)
			cut, err := OpenArchive(ctxOf(t), js, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := cut.Retry(ctxOf(t), "a1"); !errors.Is(err, errCrash) {
				t.Fatalf("the command that was killed: %v", err)
			}
			letters, actions := subjects(t, o.store.letters), subjects(t, o.store.actions)
			if letters["dgbot.dead.actions.refunds.a1"] != 1 || actions["dgbot.actions.refunds.a1.done"] != 1 {
				t.Errorf("left are %v and %v", letters, actions)
			}
			a := o.Archive()
			if err := a.Retry(ctxOf(t), "a1"); err != nil {
				t.Fatal(err)
			}
			if got := subjects(t, o.store.actions); !maps.Equal(got, map[string]uint64{"dgbot.actions.refunds.a1.todo": 1}) {
				t.Errorf("after another Retry: %v", got)
			}
		})
	}
}

// The operator is faster than the worker that writes the marker.
func TestRetryBetweenLetterAndMarker(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	enqueue(t, o, "refunds", "a1")
	held, msg := hold(t, o)
	if _, err := o.store.putLetter(ctxOf(t), held.record, held.seq, "so"); err != nil {
		t.Fatal(err)
	}
	if err := archive(t, n).Retry(ctxOf(t), "a1"); err != nil {
		t.Fatal(err)
	}
	if err := o.store.toDone(ctxOf(t), held.record, held.seq, Dead, "so"); !errors.Is(err, errStale) {
		t.Errorf("the worker's marker: %v", err)
	}
	if err := msg.Nak(); err != nil {
		t.Fatal(err)
	}
	sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered}}
	set(t, o, fast("refunds", sink))
	item(t, o, "a1", Done)
	settledQueue(t, o, "refunds")
	if n := sink.calls.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestDropIsRemembered(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	kill(t, o, "a1")
	a := archive(t, n)
	if err := a.Drop(ctxOf(t), "a1"); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"drop": a.Drop(ctxOf(t), "a1"), "retry": a.Retry(ctxOf(t), "a1"), "bad id": a.Retry(ctxOf(t), "a.*")} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of what isn't there: %v", name, err)
		}
	}
	before := lastSeq(t, o)
	enqueue(t, o, "refunds", "a1")
	if lastSeq(t, o) != before {
		t.Error("enqueued again after it was dropped")
	}
}

func ids(t *testing.T, a *Archive, f Filter) []string {
	t.Helper()
	var got []string
	for i, err := range a.List(ctxOf(t), f) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, i.Delivery.ID)
	}
	slices.Sort(got)
	return got
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	n := startServer(t)
	o := open(t, n.connect())
	kill(t, o, "dead")
	set(t, o, Endpoint{Name: "refunds", Sink: &always{verdict: failure}, Retry: []time.Duration{0, time.Hour}},
		fast("orders", &always{verdict: sinks.Verdict{Class: sinks.Delivered}}))
	enqueue(t, o, "refunds", "wait")
	enqueue(t, o, "orders", "done")
	enqueue(t, o, "elsewhere", "todo")
	if next := item(t, o, "wait", Wait).Next; time.Until(next) < 47*time.Minute {
		t.Errorf("next attempt at %v", next)
	}
	item(t, o, "done", Done)
	a := archive(t, n)
	for _, c := range []struct {
		f    Filter
		want []string
	}{
		{Filter{}, []string{"dead", "done", "todo", "wait"}},
		{Filter{State: Todo}, []string{"todo"}},
		{Filter{State: Wait}, []string{"wait"}},
		{Filter{State: Done}, []string{"done"}},
		{Filter{State: Dead}, []string{"dead"}},
		{Filter{Endpoint: "refunds"}, []string{"dead", "wait"}},
		{Filter{Endpoint: "refunds", State: Wait}, []string{"wait"}},
		{Filter{Prompt: "p-done"}, []string{"done"}},
		{Filter{Rule: "refund-issued", Bot: "support", Class: sinks.Retry}, []string{"wait"}},
		{Filter{Class: sinks.Permanent}, []string{"dead"}},
		{Filter{Bot: "other"}, nil},
	} {
		if got := ids(t, a, c.f); !slices.Equal(got, c.want) {
			t.Errorf("%+v lists %v, want %v", c.f, got, c.want)
		}
	}
	for range a.List(ctxOf(t), Filter{}) { // stopping early is fine
		break
	}
	if _, err := a.Get(ctxOf(t), "nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of what isn't there: %v", err)
	}
	if got, err := a.DeadShow(ctxOf(t), "dead"); err != nil || got.Reason != "redirect" || got.Attempts[0].Status != 302 {
		t.Errorf("show: %+v, %v", got, err)
	}
}
