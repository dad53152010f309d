package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

func ended(id, writer string) *worker.Outcome {
	return &worker.Outcome{ID: id, Bot: "support", Status: worker.Completed, Writer: writer}
}

// Of those who took a prompt over, the one with the latest record ends it; the others' outcomes are refused, however late
// they come, and nothing is left of the fences.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := b.open().Outcomes
	take := func(record uint64) uint64 {
		fence, settled, err := o.TakeOver(b.ctx, "p 1", record)
		if settled || err != nil {
			t.Fatalf("take over at %d: %v, %v", record, settled, err)
		}
		return fence
	}
	refused := func(writer string, fence uint64) {
		if err := o.Publish(b.ctx, ended("p 1", writer), "", fence); !errors.Is(err, worker.ErrFenced) {
			t.Errorf("outcome of %s: %v", writer, err)
		}
	}
	first := take(10)
	refused("who had it before", 0)
	if again := take(10); again != first {
		t.Errorf("the same again is at %d, not %d", again, first)
	}
	if _, _, err := o.TakeOver(b.ctx, "p 1", 9); !errors.Is(err, worker.ErrFenced) {
		t.Errorf("an earlier record: %v", err)
	}
	if _, found, mine, err := o.mine(o.settling("p 1"), "", 0)(b.ctx); !found || mine || err != nil {
		t.Errorf("a fence that was refused takes another's for its own: %v, %v, %v", found, mine, err)
	}
	second := take(11)
	refused("the first", first)
	for range 2 { // the second time as if the first had been unheard
		if err := o.Publish(b.ctx, ended("p 1", "the second"), "", second); err != nil {
			t.Errorf("outcome of the second: %v", err)
		}
	}
	refused("the first", first)
	refused("who had it before", 0)
	if _, settled, err := o.TakeOver(b.ctx, "p 1", 12); !settled || err != nil {
		t.Errorf("take over what is over: %v, %v", settled, err)
	}
	if n := b.left(b.open(), "OUTCOMES"); n != 1 {
		t.Errorf("%d messages beside the outcome", n-1)
	}
}

// However takers race, one of them wins: the one whose record is the last.
func TestTakersRace(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	queues := []*Queue{b.open(), b.open()}
	for round := range 10 {
		id := fmt.Sprint("p ", round)
		var wg sync.WaitGroup
		var fences [9]uint64
		for record := uint64(1); record <= 8; record++ {
			wg.Go(func() {
				fence, settled, err := queues[record%2].Outcomes.TakeOver(b.ctx, id, record)
				if settled || err != nil && !errors.Is(err, worker.ErrFenced) {
					t.Errorf("take over at %d: %v, %v", record, settled, err)
				}
				fences[record] = fence
			})
		}
		wg.Wait()
		for record, fence := range fences {
			wg.Go(func() {
				err := queues[record%2].Outcomes.Publish(b.ctx, ended(id, fmt.Sprint(record)), "", fence)
				if (err == nil) != (record == 8) {
					t.Errorf("outcome of %d: %v", record, err)
				}
			})
		}
		wg.Wait()
	}
}

// What a publisher who died left is removed by whoever finds the prompt settled.
func TestFenceLeftBehind(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	fence, _, err := q.Outcomes.TakeOver(b.ctx, "p 1", 10)
	if err != nil {
		t.Fatal(err)
	}
	guard := jetstream.WithExpectLastSequenceForSubject(fence, q.Names.settling("p 1"))
	// as one who dies before it lifts the fence
	if _, err := q.JetStream.Publish(b.ctx, q.Names.Outcome("support", "completed", "p 1"), nil, guard); err != nil {
		t.Fatal(err)
	}
	if settled, err := q.Outcomes.Settled(b.ctx, "p 1"); !settled || err != nil {
		t.Errorf("settled: %v, %v", settled, err)
	}
	if n := b.left(q, "OUTCOMES"); n != 1 {
		t.Errorf("%d messages beside the outcome", n-1)
	}
}

// A fence is removed also where NATS is away for a moment just then, and the prompt with it.
func TestFenceIsLiftedInTheEnd(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	o := *q.Outcomes
	purges := &awayForPurges{Stream: o.stream, errs: []error{nats.ErrTimeout, nats.ErrNoResponders}}
	o.stream = purges
	fence, _, err := o.TakeOver(b.ctx, "p1", 10)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	purges.first = cancel
	if err := o.Publish(ctx, ended("p1", "a"), "", fence); err != nil {
		t.Fatal(err)
	}
	if n := b.left(q, "OUTCOMES"); n != 1 || len(purges.errs) != 0 {
		t.Errorf("%d messages beside the outcome, %d tries too few", n-1, len(purges.errs))
	}
}

// awayForPurges fails so many purges.
type awayForPurges struct {
	jetstream.Stream
	errs  []error
	first func()
}

func (a *awayForPurges) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	a.first()
	if len(a.errs) > 0 {
		err := a.errs[0]
		a.errs = a.errs[1:]
		return err
	}
	return a.Stream.Purge(ctx, opts...)
}

// On a stream of somebody's own that holds outcomes alone there are no fences, and everything else is as it was.
func TestNoFences(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config, _ := b.config()
	if _, err := config.JetStream.CreateStream(b.ctx, jetstream.StreamConfig{Name: "DGBOT_OUTCOMES", Subjects: []string{"dgbot.outcomes.>"}}); err != nil {
		t.Fatal(err)
	}
	o := b.openWith(config).Outcomes
	if fence, settled, err := o.TakeOver(b.ctx, "p 1", 10); fence != 0 || settled || err != nil {
		t.Errorf("take over: %d, %v, %v", fence, settled, err)
	}
	if err := o.Publish(b.ctx, ended("p 1", "a"), "", 0); err != nil {
		t.Errorf("publish: %v", err)
	}
	if err := o.Publish(b.ctx, ended("p 1", "b"), "", 0); !errors.Is(err, worker.ErrFenced) {
		t.Errorf("a rival: %v", err)
	}
	if _, settled, err := o.TakeOver(b.ctx, "p 1", 11); !settled || err != nil {
		t.Errorf("take over what is over: %v, %v", settled, err)
	}
}
