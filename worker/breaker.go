package worker

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"dgworker/rules"
)

// breaker counts dials that failed. It is not gobreaker because it must wait (a line that is closed stops pulling, and
// wakes when it opens) and because Retry-After closes it for a time that the bot chose. While it is open no prompt is taken
// for the bot, so none uses up an attempt.
type breaker struct {
	cfg   rules.Breaker
	log   *zap.Logger
	gauge prometheus.Gauge

	mu      sync.Mutex
	since   time.Time // start of the window
	dials   int
	failed  int
	open    bool
	pauseTo time.Time     // no prompt is taken before
	backoff time.Duration // of the next failed probe
	probing bool
	changed chan struct{} // closed and replaced whenever somebody who waits should look again
}

func newBreaker(cfg rules.Breaker, log *zap.Logger, gauge prometheus.Gauge) *breaker {
	return &breaker{cfg: cfg, log: log, gauge: gauge, backoff: cfg.Open, changed: make(chan struct{})}
}

func (b *breaker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Sub(b.since) > b.cfg.Window {
		b.since, b.dials, b.failed = now, 0, 0
	}
	b.dials++
	if err != nil {
		b.failed++
	}
	if !b.open && b.dials >= b.cfg.Requests && float64(b.failed) >= b.cfg.Ratio*float64(b.dials) {
		b.trip(err)
	}
}

// trip opens the breaker, or keeps it open for twice as long after a failed probe.
func (b *breaker) trip(err error) {
	b.open, b.pauseTo = true, time.Now().Add(b.backoff)
	b.log.Warn("bot is down: no prompt is taken for it", zap.Error(err), zap.Duration("probe_in", b.backoff))
	b.backoff = min(2*b.backoff, b.cfg.MaxOpen)
	b.gauge.Set(1)
}

func (b *breaker) close() {
	b.open, b.pauseTo, b.backoff = false, time.Time{}, b.cfg.Open
	b.since, b.dials, b.failed = time.Now(), 0, 0
	b.gauge.Set(0)
	b.log.Info("bot is back")
}

func (b *breaker) pause(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to := time.Now().Add(d); to.After(b.pauseTo) {
		b.pauseTo = to
		b.log.Warn("bot throttles: no prompt is taken for it", zap.Duration("for", d))
	}
}

func (b *breaker) closedFor() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := time.Until(b.pauseTo); d > 0 {
		return d
	}
	if b.open {
		return time.Second // a probe is due
	}
	return 0
}

// wait returns when prompts may be taken. Whoever is first when a probe is due makes it; the others wait for its answer.
func (b *breaker) wait(ctx context.Context, probe func(context.Context) error) error {
	for {
		b.mu.Lock()
		pause, open, changed := time.Until(b.pauseTo), b.open, b.changed
		mine := open && pause <= 0 && !b.probing
		b.probing = b.probing || mine
		b.mu.Unlock()
		switch {
		case mine:
			b.answer(probe(ctx))
		case pause <= 0 && !open:
			return nil
		default:
			if err := sleep(ctx, max(pause, 10*time.Millisecond), changed); err != nil {
				return err
			}
		}
	}
}

func (b *breaker) answer(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if err != nil {
		b.trip(err)
	} else {
		b.close()
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// sleep waits for d, for wake, or for the end of ctx, which is an error.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
