package webhook

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// timeoutError is the cause of a limit that ran out.
type timeoutError struct {
	of    string
	after time.Duration
}

// Error says what did not come in time.
func (e *timeoutError) Error() string { return fmt.Sprintf("no %s within %s", e.of, e.after) }

// limit is the context of one call of Deliver: the caller's, and one timer for all phases, each of which can end sooner
// than the whole but not later. One timer is worth the trouble: at 40,000 attempts a second they show in a profile.
type limit struct {
	context.Context
	parent  context.Context // the caller's: if it ended, the attempt was given up; if only the limit did, it timed out
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	began   time.Time
	whole   *timeoutError
	waiting atomic.Pointer[timeoutError]
}

func newLimit(parent context.Context, whole *timeoutError) *limit {
	l := &limit{parent: parent, began: time.Now(), whole: whole}
	l.waiting.Store(whole)
	l.Context, l.cancel = context.WithCancelCause(parent)
	l.timer = time.AfterFunc(whole.after, func() { l.cancel(l.waiting.Load()) })
	return l
}

// phase begins a phase, and ends the one before.
func (l *limit) phase(of *timeoutError) {
	left := l.whole.after - time.Since(l.began)
	if of.after < left {
		l.waiting.Store(of)
		l.timer.Reset(of.after)
		return
	}
	l.waiting.Store(l.whole)
	l.timer.Reset(left)
}

func (l *limit) end() {
	l.timer.Stop()
	l.cancel(nil)
}
