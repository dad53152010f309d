package outbox

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"dgworker/sinks"
)

// gateUnderTest counts how often the gate shut and says whether its breaker is open.
type gateUnderTest struct {
	*gate
	t     *testing.T
	shuts int
	open  bool
}

func testGate(t *testing.T, slots int) *gateUnderTest {
	g := &gateUnderTest{t: t}
	g.gate = newGate(Config{}.withDefaults().Breaker, slots, zap.NewNop(), func(open bool) { g.open = open }, func() { g.shuts++ })
	return g
}

// do makes one attempt with the given verdict.
func (g *gateUnderTest) do(v sinks.Verdict) {
	g.t.Helper()
	p, ok := g.enter()
	if !ok {
		g.t.Fatal("the gate is closed")
	}
	p.tell(v)
	p.release()
}

// closedFor says how long the puller waits at the gate.
func (g *gateUnderTest) closedFor() time.Duration {
	begin := time.Now()
	if !g.ready(g.t.Context()) {
		g.t.Fatal("ready gave up")
	}
	return time.Since(begin)
}

func TestBreakerOpensDoublesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(t, 8)
		for range 9 {
			g.do(failure)
		}
		if g.open || g.closedFor() != 0 {
			t.Fatal("open after nine attempts")
		}
		g.do(failure)
		if !g.open || g.shuts != 1 {
			t.Fatalf("open %v, shut %d times after ten failures", g.open, g.shuts)
		}
		for _, want := range []time.Duration{30, 60, 120, 240, 480, 600, 600} { // seconds
			if _, ok := g.enter(); ok {
				t.Fatal("an open breaker let an attempt through")
			}
			if got := g.closedFor(); got != want*time.Second {
				t.Fatalf("opening lasts %v, want %vs", got, int(want))
			}
			g.do(failure) // the probe
		}
		g.closedFor()
		g.do(sinks.Verdict{Class: sinks.Delivered})
		if g.open {
			t.Fatal("open after a probe that was delivered")
		}
		for range 10 {
			g.do(failure)
		}
		if got := g.closedFor(); got != 30*time.Second {
			t.Errorf("after it had closed, an opening lasts %v", got)
		}
	})
}

func TestBreakerSendsOneProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(t, 8)
		for range 10 {
			g.do(failure)
		}
		g.closedFor()
		probe, ok := g.enter()
		if !ok {
			t.Fatal("no probe")
		}
		if _, ok := g.enter(); ok {
			t.Fatal("a second attempt beside the probe")
		}
		go func() {
			time.Sleep(7 * time.Second) // of the bubble's clock: the probe takes this long
			probe.tell(sinks.Verdict{Class: sinks.Delivered})
			probe.release()
		}()
		if got := g.closedFor(); got != 7*time.Second {
			t.Errorf("the next attempt begins %v after the probe", got)
		}
		synctest.Wait()
	})
}

func TestBreakerProbeThatWasNeverMadeLeavesRoomForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(t, 8)
		for range 10 {
			g.do(failure)
		}
		g.closedFor()
		p, _ := g.enter()
		p.release()
		if !g.open {
			t.Error("closed without an attempt")
		}
		g.do(sinks.Verdict{Class: sinks.Limited, Status: 404})
		if g.open {
			t.Error("still open although the endpoint answered the probe")
		}
	})
}

func TestBreakerCountsOnlyFailuresOfTheEndpoint(t *testing.T) {
	t.Parallel()
	for name, verdicts := range map[string][]sinks.Verdict{
		"limited and permanent": {{Class: sinks.Limited, Status: 404}, {Class: sinks.Permanent}},
		"two of three succeed":  {{Class: sinks.Delivered}, {Class: sinks.Delivered}, failure},
		"nine failures at most": {{Class: sinks.Permanent}, {Class: sinks.Permanent}, {Class: sinks.Permanent}, {Class: sinks.Permanent}, failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := testGate(t, 8)
				for i := range 45 {
					g.do(verdicts[i%len(verdicts)])
				}
				if g.open {
					t.Error("open")
				}
			})
		})
	}
}

func TestBreakerForgetsAfterItsWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(t, 8)
		for range 20 {
			g.do(failure)
			if g.open {
				t.Fatal("open at ten seconds between failures: six of them in a window")
			}
			time.Sleep(10 * time.Second) // of the bubble's clock
		}
	})
}

func TestGateHoldsAndDisables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := testGate(t, 2)
		g.hold(time.Now().Add(time.Hour))
		g.hold(time.Now().Add(time.Minute)) // a shorter one changes nothing
		if got := g.closedFor(); got != time.Hour || g.shuts != 1 {
			t.Errorf("held for %v, shut %d times", got, g.shuts)
		}
		g.hold(time.Now().Add(time.Hour))
		g.disable(true)
		go func() {
			time.Sleep(time.Minute)
			g.hold(time.Time{})
			time.Sleep(time.Minute)
			g.disable(false)
		}()
		if got := g.closedFor(); got != 2*time.Minute {
			t.Errorf("released after %v", got)
		}
		one, _ := g.enter()
		_, _ = g.enter()
		if _, ok := g.enter(); ok {
			t.Error("three attempts in two slots")
		}
		go func() {
			time.Sleep(time.Minute)
			one.release()
		}()
		if got := g.closedFor(); got != time.Minute {
			t.Errorf("a slot was free after %v", got)
		}
		g.resize(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if g.ready(ctx) {
			t.Error("ready with the only slot taken")
		}
	})
}
