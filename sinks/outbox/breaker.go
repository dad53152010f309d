package outbox

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"dgworker/sinks"
)

// errCounted is the failure that a breaker counts, errExcluded the result that says nothing about the endpoint.
var (
	errCounted  = errors.New("attempt failed")
	errExcluded = errors.New("attempt doesn't count")
)

// breaker is gobreaker's rolling window and its one probe, with an opening that doubles. gobreaker knows one fixed
// length of an opening only; so here it is half-open at once, and the gate waits for as long as openUntil says.
//
// It is not safe for concurrent use: its gate's lock guards it.
type breaker struct {
	two       *gobreaker.TwoStepCircuitBreaker[struct{}]
	first     time.Duration
	most      time.Duration
	openings  int // in a row, without having closed between them
	openUntil time.Time
	changed   func(open bool, until time.Time) // called with the gate's lock held
}

func newBreaker(cfg Breaker, changed func(open bool, until time.Time)) *breaker {
	b := &breaker{first: cfg.Open, most: cfg.MaxOpen, changed: changed}
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Interval:     cfg.Window,
		BucketPeriod: max(cfg.Window/10, 1),
		Timeout:      time.Nanosecond,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			finished := c.TotalSuccesses + c.TotalFailures
			return int(finished) >= cfg.Requests && float64(c.TotalFailures) >= cfg.Ratio*float64(finished)
		},
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
		OnStateChange: b.onStateChange,
	})
	return b
}

func (b *breaker) onStateChange(_ string, _, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		open := b.first
		for range b.openings {
			open = min(2*open, b.most)
		}
		b.openings++
		b.openUntil = time.Now().Add(open)
		b.changed(true, b.openUntil)
	case gobreaker.StateClosed:
		b.openings, b.openUntil = 0, time.Time{}
		b.changed(false, time.Time{})
	}
}

// allow reports whether an attempt may begin, and how to tell the breaker its result.
func (b *breaker) allow() (report func(error), ok bool) {
	report, err := b.two.Allow()
	return report, err == nil
}

// probing says that the breaker is half-open: one attempt at a time.
func (b *breaker) probing() bool { return b.two.State() == gobreaker.StateHalfOpen }

// counts translates a verdict. Only failures that speak of the endpoint count; but while probing, any answer at all is
// good news: it was the endpoint that gave it.
func counts(v sinks.Verdict, probe bool) error {
	switch {
	case v.Class == sinks.Delivered, probe && v.Class != sinks.Retry && v.Status != 0:
		return nil
	case v.Class == sinks.Retry:
		return errCounted
	}
	return errExcluded
}
