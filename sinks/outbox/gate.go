package outbox

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"dgworker/sinks"
)

// gate decides when a lane may take an action: there is a free slot, the endpoint isn't disabled, no pause that it
// asked for is running, and the breaker allows it. One goroutine waits at it, the lane's puller; the actions themselves
// stay in NATS meanwhile.
type gate struct {
	mu        sync.Mutex
	slots     int
	running   int
	probes    int // attempts under way that the half-open breaker let through
	disabled  bool
	heldUntil time.Time // a pause that the destination asked for
	breaker   *breaker
	wake      chan struct{} // holds a token when something changed since the puller looked
	shut      func()        // called with the lock held when the gate closes: ends the pull that waits for an action
	log       *zap.Logger
	open      func(bool) // called with the lock held when the breaker opens or closes
}

func newGate(cfg Breaker, slots int, log *zap.Logger, open func(bool), shut func()) *gate {
	g := &gate{slots: slots, wake: make(chan struct{}, 1), shut: shut, log: log, open: open}
	g.breaker = g.newBreaker(cfg)
	return g
}

func (g *gate) newBreaker(cfg Breaker) (b *breaker) {
	b = newBreaker(cfg, func(isOpen bool, until time.Time) {
		if g.breaker != b {
			return // it was replaced, and heard of an attempt that had begun before
		}
		g.open(isOpen)
		if !isOpen {
			g.log.Info("breaker closed")
			return
		}
		g.log.Warn("breaker opened: the endpoint keeps failing, its lane waits", zap.Time("until", until))
		g.shut()
	})
	return b
}

// renew forgets what was known of an endpoint that is another now: its failures, and the pause that it asked for.
func (g *gate) renew(cfg Breaker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.breaker, g.probes, g.heldUntil = g.newBreaker(cfg), 0, time.Time{}
	g.open(false)
	g.notify()
}

// ready waits until an action may be taken. False says that ctx ended first.
func (g *gate) ready(ctx context.Context) bool {
	for ctx.Err() == nil {
		wait, open := g.look()
		if open {
			return true
		}
		g.await(ctx, wait)
	}
	return false
}

// look reports whether the gate is open, and if not, when to look again (0: when something changes).
func (g *gate) look() (wait time.Duration, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state()
}

func (g *gate) state() (wait time.Duration, open bool) {
	if g.disabled || g.running >= g.slots {
		return 0, false
	}
	if wait = time.Until(g.closedUntil()); wait > 0 {
		return wait, false
	}
	if g.breaker.probing() && g.probes > 0 {
		return 0, false
	}
	return 0, true
}

func (g *gate) closedUntil() time.Time {
	if g.breaker.openUntil.After(g.heldUntil) {
		return g.breaker.openUntil
	}
	return g.heldUntil
}

func (g *gate) await(ctx context.Context, wait time.Duration) {
	var expired <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-g.wake:
	case <-expired:
	case <-ctx.Done():
	}
}

// pass is the right to make one attempt. It takes a slot until it is released.
type pass struct {
	gate    *gate
	breaker *breaker // that let it through
	probe   bool
	report  func(error) // nil once told
}

// enter takes a slot for an action that was taken. It is refused if the gate has closed since ready.
func (g *gate) enter() (*pass, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, open := g.state(); !open {
		return nil, false
	}
	probe := g.breaker.probing()
	report, ok := g.breaker.allow()
	if !ok {
		return nil, false
	}
	g.running++
	if probe {
		g.probes++
	}
	return &pass{gate: g, breaker: g.breaker, probe: probe, report: report}, true
}

// tell gives the breaker the attempt's verdict.
func (p *pass) tell(v sinks.Verdict) { p.settle(counts(v, p.probe)) }

func (p *pass) settle(err error) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if p.report == nil {
		return
	}
	p.report(err)
	p.report = nil
	if p.probe && p.breaker == p.gate.breaker {
		p.gate.probes--
	}
	p.gate.notify()
}

// release gives the slot back. A pass whose attempt was never made says nothing about the endpoint.
func (p *pass) release() {
	p.settle(errExcluded)
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.gate.running--
	p.gate.notify()
}

// hold closes the gate until the given time, if it isn't closed for longer; the zero time ends such a pause.
func (g *gate) hold(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until.IsZero() {
		g.heldUntil = until
	} else if until.After(g.heldUntil) {
		g.heldUntil = until
		g.shut()
	}
	g.notify()
}

// disable closes the gate until it is called with false.
func (g *gate) disable(disabled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.disabled = disabled; disabled {
		g.shut()
	}
	g.notify()
}

// resize sets how many attempts may run at once.
func (g *gate) resize(slots int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots = slots
	g.notify()
}

// notify makes the puller look again. The token stays if it isn't waiting just now.
func (g *gate) notify() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
