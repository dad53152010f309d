package sinktest

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"dgworker/sinks"
)

// Patience is how long the suite waits for what should happen at once, before it calls it a failure.
const Patience = 10 * time.Second

// Mood is how a destination behaves.
type Mood string

// The moods that a harness must offer.
const (
	Accepts Mood = "accepts" // takes everything
	Stalls  Mood = "stalls"  // receives, and never answers
	Refuses Mood = "refuses" // answers that it won't take it
	Absent  Mood = "absent"  // isn't there any more
)

// Received is what a destination saw of one attempt.
type Received struct {
	ID   string // where the protocol puts it: webhook-id, Nats-Msg-Id
	Body string
}

// Destination is a running sink and what stands behind it.
type Destination struct {
	Sink     sinks.Sink
	Delivery sinks.Delivery  // one that the destination would accept: every field set that the sink reads
	Received <-chan Received // each attempt as it arrives, buffered for at least 100
	Stop     func()          // ends the sink and the destination, and waits for their goroutines; called once
}

// Harness is what a sink's test brings along.
type Harness struct {
	// Start starts a sink with a destination in that mood. It may skip no mood, and uses t to fail alone.
	Start func(t *testing.T, mood Mood) Destination
	// Secrets are strings that the sink was configured with and that no verdict may show.
	Secrets []string
}

// Run runs the suite. The test that calls it must not be parallel: goroutines are counted.
func Run(t *testing.T, h Harness) {
	t.Run("leaks no goroutine", h.leaksNothing)
	for name, test := range map[string]func(*testing.T){
		"same id and body on every attempt":    h.sameEveryTime,
		"does not change the delivery":         h.changesNothing,
		"is safe for concurrent use":           h.concurrent,
		"returns when the context ends":        h.returnsOnCancel,
		"sends nothing after the context":      h.sendsNothingLate,
		"says why it was refused":              h.refused,
		"tries again where nobody is there":    h.absent,
		"refuses what can't be sent by itself": h.hostile,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
	}
}

// start starts a destination that ends with the test.
func (h Harness) start(t *testing.T, mood Mood) Destination {
	t.Helper()
	d := h.Start(t, mood)
	t.Cleanup(d.Stop)
	return d
}

// leaksNothing leaves an attempt of each kind behind, a cancelled one included, and counts what is left.
func (h Harness) leaksNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for _, mood := range []Mood{Accepts, Stalls, Refuses, Absent} {
		d := h.Start(t, mood)
		h.deliverBriefly(t, d)
		d.Stop()
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
