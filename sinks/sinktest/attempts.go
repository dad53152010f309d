package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"dgworker/sinks"
)

func (h Harness) sameEveryTime(t *testing.T) {
	d := h.start(t, Accepts)
	for range 3 {
		h.verdict(t, d.Sink.Deliver(t.Context(), d.Delivery), sinks.Delivered)
		if got, want := next(t, d), (Received{d.Delivery.ID, string(d.Delivery.Body)}); got != want {
			t.Errorf("the destination saw %q, want %q", got, want)
		}
	}
}

func (h Harness) changesNothing(t *testing.T) {
	for _, mood := range []Mood{Accepts, Refuses} {
		d := h.start(t, mood)
		before := d.Delivery
		before.Headers, before.Body = maps.Clone(before.Headers), slices.Clone(before.Body)
		d.Sink.Deliver(t.Context(), d.Delivery)
		if !reflect.DeepEqual(before, d.Delivery) {
			t.Errorf("the delivery was %+v and is now %+v", before, d.Delivery)
		}
	}
}

func (h Harness) concurrent(t *testing.T) {
	const attempts = 50
	d := h.start(t, Accepts)
	var wg sync.WaitGroup
	for i := range attempts {
		wg.Go(func() {
			mine := d.Delivery
			mine.ID, mine.Body = fmt.Sprintf("concurrent-%d", i), fmt.Appendf(nil, `{"n":%d}`, i)
			h.verdict(t, d.Sink.Deliver(t.Context(), mine), sinks.Delivered)
		})
	}
	wg.Wait()
	seen := map[Received]int{}
	for range attempts {
		seen[next(t, d)]++
	}
	for i := range attempts {
		if r := (Received{fmt.Sprintf("concurrent-%d", i), fmt.Sprintf(`{"n":%d}`, i)}); seen[r] != 1 {
			t.Errorf("the destination saw %v %d times", r, seen[r])
		}
	}
}

// returnsOnCancel gives up on a destination that received and never answers: the moment that a shutdown meets.
func (h Harness) returnsOnCancel(t *testing.T) {
	d := h.start(t, Stalls)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan sinks.Verdict, 1)
	go func() { done <- d.Sink.Deliver(ctx, d.Delivery) }()
	next(t, d)
	cancel(errors.New("the worker is stopping"))
	select {
	case v := <-done:
		h.verdict(t, v, sinks.Retry)
	case <-time.After(Patience):
		t.Fatal("Deliver did not return when its context ended")
	}
}

func (h Harness) sendsNothingLate(t *testing.T) {
	d := h.start(t, Accepts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.verdict(t, d.Sink.Deliver(ctx, d.Delivery), sinks.Retry)
	h.verdict(t, d.Sink.Deliver(t.Context(), d.Delivery), sinks.Delivered)
	next(t, d)
	select {
	case r := <-d.Received:
		t.Errorf("the destination saw %v twice: once after the context had ended", r)
	default:
	}
}

func (h Harness) refused(t *testing.T) {
	d := h.start(t, Refuses)
	if v := d.Sink.Deliver(t.Context(), d.Delivery); v.Class == sinks.Delivered {
		t.Errorf("delivered, though the destination refused")
	} else {
		h.verdict(t, v, v.Class)
	}
}

func (h Harness) absent(t *testing.T) {
	d := h.start(t, Absent)
	h.verdict(t, d.Sink.Deliver(t.Context(), d.Delivery), sinks.Retry)
}

// deliverBriefly makes one attempt, and ends it once the destination has it if it stalls.
func (h Harness) deliverBriefly(t *testing.T, d Destination) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); d.Sink.Deliver(ctx, d.Delivery) }()
	select {
	case <-done:
	case <-d.Received:
	}
	cancel()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatal("Deliver did not return when its context ended")
	}
}

func next(t *testing.T, d Destination) Received {
	t.Helper()
	select {
	case r := <-d.Received:
		return r
	case <-time.After(Patience):
		t.Fatal("nothing arrived at the destination")
		return Received{}
	}
}
