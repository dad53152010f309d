package outbox

import (
	"fmt"
	"math/rand/v2"
	"time"

	"dgworker/sinks"
)

// step is what follows an attempt.
type step int

const (
	stepDone  step = iota // delivered
	stepAgain             // another attempt, after delay
	stepDead              // a dead letter, for reason
	stepPark              // the endpoint is gone: disable it, and keep the action
)

type decision struct {
	step   step
	delay  time.Duration
	reason string
}

// limitedAttempts is the bound of a Limited verdict that names none.
const limitedAttempts = 3

// decide says what follows the verdict of attempt number tries (from 1) of those that count, under a schedule of
// delays before each attempt, which is multiplied by factor.
func decide(v sinks.Verdict, tries int, schedule []time.Duration, maxRetryAfter time.Duration, factor float64) decision {
	attempts := len(schedule)
	switch v.Class {
	case sinks.Delivered:
		return decision{step: stepDone}
	case sinks.Gone:
		return decision{step: stepPark, reason: v.Reason}
	case sinks.Permanent:
		return decision{step: stepDead, reason: v.Reason}
	case sinks.Limited:
		attempts = min(attempts, limitOf(v))
	}
	if tries >= attempts {
		return decision{step: stepDead, reason: fmt.Sprintf("gave up after %d of %d attempts: %s", tries, attempts, v.Reason)}
	}
	delay := time.Duration(float64(schedule[tries]) * factor)
	return decision{step: stepAgain, delay: max(delay, clampRetryAfter(v, maxRetryAfter)), reason: v.Reason}
}

func limitOf(v sinks.Verdict) int {
	if v.MaxAttempts > 0 {
		return v.MaxAttempts
	}
	return limitedAttempts
}

// spread draws a factor of 1 ± jitter.
func spread(jitter float64) float64 { return 1 + jitter*(2*rand.Float64()-1) }

// clampRetryAfter is the pause that the destination asked for, within bounds.
func clampRetryAfter(v sinks.Verdict, most time.Duration) time.Duration {
	return max(0, min(v.RetryAfter, most))
}
