package worker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ringer owns an alarm as a conversation does: a mutex, and a ring that asks due.
type ringer struct {
	mu    sync.Mutex
	alarm alarm
	rang  []time.Duration
	start time.Time
}

func (r *ringer) do(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *ringer) arm(d time.Duration) {
	r.do(func() { r.alarm.arm(time.Now().Add(d), r.ring) })
}

func (r *ringer) ring() {
	r.do(func() {
		if r.alarm.due() {
			r.rang = append(r.rang, time.Since(r.start))
			r.alarm.disarm()
		}
	})
}

func TestAlarm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play func(*ringer)
		want []time.Duration
	}{
		"rings":       {func(r *ringer) { r.arm(2 * time.Second) }, []time.Duration{2 * time.Second}},
		"moved later": {func(r *ringer) { r.arm(time.Second); r.arm(5 * time.Second) }, []time.Duration{5 * time.Second}},
		"moved sooner": {func(r *ringer) { r.arm(time.Hour); r.arm(time.Second) },
			[]time.Duration{time.Second}},
		"disarmed":    {func(r *ringer) { r.arm(time.Second); r.do(r.alarm.disarm) }, nil},
		"never armed": {func(r *ringer) { r.do(r.alarm.disarm) }, nil},
		"armed again": {func(r *ringer) { r.arm(time.Second); time.Sleep(3 * time.Second); r.arm(time.Second) },
			[]time.Duration{time.Second, 4 * time.Second}},
		"already past": {func(r *ringer) { r.arm(-time.Second) }, []time.Duration{0}},
		// A deadline that was journaled is a time of the wall clock, which may be set back while its timer runs.
		"the clock was set back": {func(r *ringer) {
			r.arm(time.Second)
			r.do(func() { r.alarm.at = r.alarm.at.Add(10 * time.Second) })
		}, []time.Duration{11 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &ringer{start: time.Now()}
				c.play(r)
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(r.rang) != len(c.want) {
					t.Fatalf("rang at %v, want %v", r.rang, c.want)
				}
				for i := range c.want {
					if r.rang[i] != c.want[i] {
						t.Errorf("rang at %v, want %v", r.rang, c.want)
					}
				}
			})
		})
	}
}
