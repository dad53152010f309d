package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"dgworker/rules"
)

var errDown = errors.New("down")

var asDefault = rules.Breaker{Requests: 10, Ratio: 0.5, Window: time.Minute, Open: time.Second, MaxOpen: 30 * time.Second}

func newTestBreaker() (*breaker, prometheus.Gauge) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "open"})
	return newBreaker(asDefault, zap.NewNop(), gauge), gauge
}

func noteMany(b *breaker, n int, err error) {
	for range n {
		b.note(err)
	}
}

func TestBreakerOpensAtHalf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		good, bad int
		open      bool
	}{
		"nine that failed":              {0, 9, false},
		"ten that failed":               {0, 10, true},
		"half of ten":                   {5, 5, true},
		"less than half":                {6, 5, false},
		"four of ten":                   {6, 4, false},
		"more than half of very little": {1, 3, false},
	} {
		b, gauge := newTestBreaker()
		noteMany(b, c.good, nil)
		noteMany(b, c.bad, errDown)
		if b.open != c.open || (b.closedFor() > 0) != c.open || (testutil.ToFloat64(gauge) == 1) != c.open {
			t.Errorf("%s: open %v, closed for %s, gauge %v; want open %v", name, b.open, b.closedFor(), testutil.ToFloat64(gauge), c.open)
		}
	}
}

func TestBreakerForgetsAfterItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := newTestBreaker()
		noteMany(b, 9, errDown)
		time.Sleep(asDefault.Window + time.Second)
		b.note(errDown)
		if b.open {
			t.Error("opened by failures of an earlier window")
		}
	})
}

// While it is open everybody waits, one of them probes, and each probe that fails doubles the time until the next.
func TestBreakerProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, gauge := newTestBreaker()
		noteMany(b, 10, errDown)
		start := time.Now()
		var probes []time.Duration
		var made, under, through atomic.Int32
		probe := func(context.Context) error {
			if under.Add(1) > 1 {
				t.Error("two probes at once")
			}
			defer under.Add(-1)
			probes = append(probes, time.Since(start))
			n := made.Add(1)
			time.Sleep(100 * time.Millisecond) // a bot takes its time, also to refuse
			if n < 8 {
				return errDown
			}
			return nil
		}
		for range 5 {
			go func() {
				if err := b.wait(t.Context(), probe); err == nil {
					through.Add(1)
				}
			}()
		}
		for range 7 {
			for n := made.Load(); made.Load() == n; {
				time.Sleep(time.Millisecond)
			}
			if through.Load() != 0 {
				t.Fatal("somebody was let through while the bot was down")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if through.Load() != 5 || b.closedFor() != 0 || testutil.ToFloat64(gauge) != 0 {
			t.Errorf("after a probe that succeeded %d of 5 went through, closed for %s", through.Load(), b.closedFor())
		}
		gaps := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30}
		at := time.Duration(0)
		for i, p := range probes {
			at += gaps[i] * time.Second
			if p < at || p > at+20*time.Millisecond {
				t.Errorf("probe %d came after %s, want %s", i+1, p, at)
			}
			at += 100 * time.Millisecond
		}
		noteMany(b, 10, errDown)
		if d := b.closedFor(); d != asDefault.Open {
			t.Errorf("after it had closed it opens for %s, want %s again", d, asDefault.Open)
		}
	})
}

func TestBreakerKeepsARetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := newTestBreaker()
		b.pause(10 * time.Second)
		b.pause(3 * time.Second)
		if d := b.closedFor(); d != 10*time.Second {
			t.Errorf("closed for %s, want the longer pause", d)
		}
		start := time.Now()
		probe := func(context.Context) error { t.Error("throttling needs no probe"); return nil }
		if err := b.wait(t.Context(), probe); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("waited %s, %v; want 10s", time.Since(start), err)
		}
	})
}

func TestBreakerLetsGoOfWhoeverStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := newTestBreaker()
		b.pause(time.Hour)
		why := errors.New("stopping")
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error)
		go func() { got <- b.wait(ctx, nil) }()
		synctest.Wait()
		cancel(why)
		if err := <-got; !errors.Is(err, why) {
			t.Errorf("wait ended with %v, want the cause", err)
		}
	})
}
