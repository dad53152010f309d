package dgbot

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPingerCadence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pinger
		var at []time.Duration
		began := time.Now()
		p.start(DefaultPingEvery, func() bool {
			at = append(at, time.Since(began))
			return true
		})
		time.Sleep(10*time.Minute + time.Second) // a tool that takes its time
		p.stop()
		p.wait()
		if len(at) != 22 {
			t.Fatalf("%d pings in ten minutes, want 22", len(at))
		}
		for i, d := range at {
			if want := time.Duration(i+1) * 27 * time.Second; d != want {
				t.Errorf("ping %d after %s, want %s", i, d, want)
			}
		}
		time.Sleep(time.Hour)
		if len(at) != 22 {
			t.Error("a ping after stop")
		}
	})
}

func TestPingerStopsAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pinger
		var n atomic.Int32
		p.start(time.Second, func() bool { return n.Add(1) < 3 })
		time.Sleep(time.Hour)
		p.stop()
		p.stop()
		p.wait()
		if n.Load() != 3 {
			t.Errorf("%d pings, want 3", n.Load())
		}
	})
}

func TestPingerStopDuringAPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pinger
		var n atomic.Int32
		p.start(time.Second, func() bool {
			time.Sleep(10 * time.Second)
			n.Add(1)
			return true
		})
		time.Sleep(5 * time.Second)
		p.stop()
		p.wait()
		if n.Load() != 1 {
			t.Error("wait did not wait for the ping under way")
		}
		time.Sleep(time.Hour)
		if n.Load() != 1 {
			t.Error("a ping after stop")
		}
	})
}

func TestDefaultPingIsWithinTheDocument(t *testing.T) {
	t.Parallel()
	if d := (Config{}).withDefaults().PingEvery; d < 25*time.Second || d > 30*time.Second {
		t.Errorf("pings every %s, the document wants 25 to 30 s", d)
	}
}
