package worker

import "time"

// alarm is a timer that can be moved cheaply: most frames move one, and few alarms ever ring. Its owner's mutex guards
// it; ring runs on a goroutine of its own and must lock that mutex and ask due.
type alarm struct {
	at    time.Time // zero: disarmed
	timer *time.Timer
}

// arm makes ring run at t.
func (a *alarm) arm(t time.Time, ring func()) {
	a.at = t
	d := max(0, time.Until(t))
	if a.timer == nil {
		a.timer = time.AfterFunc(d, ring)
		return
	}
	a.timer.Reset(d)
}

func (a *alarm) disarm() {
	a.at = time.Time{}
	if a.timer != nil {
		a.timer.Stop()
	}
}

// due says whether the alarm still means it: a ring may have been on its way when the alarm was moved. One that came too
// early by the wall clock, which journaled deadlines are told by and which may be set back, rings again.
func (a *alarm) due() bool {
	if a.at.IsZero() {
		return false
	}
	if early := time.Until(a.at); early > 0 {
		a.timer.Reset(early)
		return false
	}
	return true
}
