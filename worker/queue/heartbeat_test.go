package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dgworker/worker"

	"github.com/nats-io/nats.go/jetstream"
)

// countedBeats is a message of the consumer of that name, which NATS hears unless deaf.
type countedBeats struct {
	n        atomic.Int32
	consumer string
	deaf     bool
}

func (c *countedBeats) InProgress() error { c.n.Add(1); return nil }
func (c *countedBeats) Reply() string     { return "" }
func (c *countedBeats) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Stream: "S", Consumer: c.consumer}, nil
}

// pulse is a heartbeat of an AckWait of 9 s in a time of the test's own; heard says whether NATS hears it.
func pulse(t *testing.T, heard *atomic.Bool) *heartbeat {
	t.Helper()
	h := newHeartbeat(9*time.Second, func(ctx context.Context, m progress) error {
		if _ = m.InProgress(); heard.Load() && !m.(*countedBeats).deaf {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

func TestHeartbeatKeepsWhatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Bool
		heard.Store(true)
		h := pulse(t, &heard)
		held, settled := new(countedBeats), new(countedBeats)
		ctx, one := h.hold(t.Context(), held)
		_, other := h.hold(t.Context(), settled)
		other.release()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if held.n.Load() != 20 || settled.n.Load() != 0 || ctx.Err() != nil {
			t.Errorf("%d beats in a minute of an AckWait of 9s, %d after the release, and the context is %v", held.n.Load(), settled.n.Load(), ctx.Err())
		}
		one.release()
		time.Sleep(10 * time.Second)
		if held.n.Load() != 20 {
			t.Error("beats after the release")
		}
	})
}

// NATS gives a message away AckWait after the last beat that it heard. Whoever holds it must have let go by then, and not
// long before; what came later is kept for as long as it may be.
func TestHeartbeatLetsGoInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Bool
		heard.Store(true)
		h := pulse(t, &heard)
		time.Sleep(time.Second)
		old, one := h.hold(t.Context(), new(countedBeats))
		defer one.release()
		time.Sleep(5 * time.Second) // the beats at 3 s and at 6 s are heard
		synctest.Wait()
		heard.Store(false)
		time.Sleep(4 * time.Second)
		young, other := h.hold(t.Context(), new(countedBeats)) // at 10 s
		defer other.release()
		<-old.Done()
		if !errors.Is(context.Cause(old), worker.ErrFenced) || young.Err() != nil {
			t.Errorf("old ends with %v, young with %v", context.Cause(old), context.Cause(young))
		}
		heard.Store(true)
		time.Sleep(time.Minute)
		if young.Err() != nil {
			t.Errorf("let go of what NATS heard of in time: %v", context.Cause(young))
		}
	})
}

// However the beats fall, a message is kept for nearly as long as AckWait, and no longer.
func TestHeartbeatNeverLetsGoTooLate(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{0, time.Second, 2 * time.Second, 2900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			var heard atomic.Bool
			h := pulse(t, &heard)
			time.Sleep(at)
			begun := time.Now()
			ctx, one := h.hold(t.Context(), new(countedBeats))
			defer one.release()
			<-ctx.Done()
			if took := time.Since(begun); took >= 9*time.Second || took < 8*time.Second {
				t.Errorf("taken %s after a beat: let go after %s of an AckWait of 9s", at, took)
			}
		})
	}
}

// A consumer that can't be reached takes nobody else's messages with it; and of one that can, all messages are heard of.
func TestHeartbeatOfTwoConsumers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Bool
		heard.Store(true)
		h := pulse(t, &heard)
		deaf, one := h.hold(t.Context(), &countedBeats{consumer: "a", deaf: true})
		defer one.release()
		var others []*countedBeats
		for range 3 {
			m := &countedBeats{consumer: "b"}
			ctx, one := h.hold(t.Context(), m)
			defer one.release()
			others = append(others, m)
			defer func() {
				if ctx.Err() != nil {
					t.Error("let go with another consumer's message")
				}
			}()
		}
		<-deaf.Done()
		time.Sleep(time.Minute)
		synctest.Wait()
		for i, m := range others {
			if m.n.Load() != 22 {
				t.Errorf("message %d: %d beats in 68 s of an AckWait of 9 s", i, m.n.Load())
			}
		}
	})
}

// A process that was stopped says nothing of what may be another's, also where its beat comes before its timers do.
func TestHeartbeatAfterAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeartbeat(9*time.Second, func(_ context.Context, m progress) error { return m.InProgress() })
		held := new(countedBeats)
		_, one := h.hold(t.Context(), held)
		defer one.release()
		for one := range h.held {
			one.expiry.Stop()
		}
		time.Sleep(10 * time.Second) // no beat meanwhile
		h.beat(t.Context())
		if held.n.Load() != 0 {
			t.Errorf("%d beats for what may be another's", held.n.Load())
		}
	})
}
