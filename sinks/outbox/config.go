package outbox

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"dgworker/sinks"
)

// Config configures an Outbox. Only JetStream is required.
type Config struct {
	JetStream jetstream.JetStream
	Prefix    string                // first token of every subject; stream names derive from it. Defaults to "dgbot"
	Replicas  int                   // of what New creates. Defaults to 1
	Storage   jetstream.StorageType // of what New creates. Defaults to file storage

	Retain        time.Duration // how long settled actions are remembered, at least 1s. Defaults to 7 days
	AckWait       time.Duration // how long a lane may be silent about an action before another takes it. Defaults to 10s
	MaxAckPending int           // actions under way per endpoint over all workers. Defaults to 65,536
	MaxDeliveries int           // times that workers may die on one attempt before the action is dead. Defaults to 20
	MaxRetryAfter time.Duration // longest pause that a destination may ask for. Defaults to 24h
	SettleTimeout time.Duration // bound of one publish of a settlement. Defaults to 5s
	Grace         time.Duration // what attempts that Stop cuts off get to record their result. Defaults to 2s
	Reserve       int           // bytes of max_payload kept free of a delivery, for its attempt log. Defaults to 32 KiB

	Breaker Breaker // of endpoints that say nothing else

	Log     *zap.Logger           // Defaults to none
	Metrics prometheus.Registerer // Defaults to none
}

// Endpoint is one destination and the lane of its own that it gets.
type Endpoint struct {
	Name        string          // [A-Za-z0-9_-]{1,64}; Delivery.Endpoint names it
	Sink        sinks.Sink      // makes the attempts
	Concurrency int             // attempts at once in this process. Defaults to 8
	Rate        float64         // attempts a second in this process. 0 (default) is no limit
	Retry       []time.Duration // delay before each attempt, the first included, ±20 %. Defaults to DefaultRetry
	Timeout     time.Duration   // bound of one attempt; its context ends then. Defaults to 30s

	Jitter        float64       // share by which the delays of Retry vary, up and down, 0 to 1. 0 (default) is none
	MaxRetryAfter time.Duration // longest pause that the destination may ask for. Defaults to Config.MaxRetryAfter
	Breaker       Breaker       // Defaults to Config.Breaker, each field by itself
}

// Breaker says when an endpoint that keeps failing is left alone.
type Breaker struct {
	Requests int           // attempts that the window must hold before it can open. Defaults to 10
	Ratio    float64       // share of them that must have failed, 0 to 1. Defaults to 0.5
	Window   time.Duration // of ten buckets. Defaults to 60s
	Open     time.Duration // how long the first opening lasts; each one after it twice as long. Defaults to 30s
	MaxOpen  time.Duration // longest opening. Defaults to 10m
}

func (b Breaker) withDefaults(d Breaker) Breaker {
	setDefault(&b.Requests, d.Requests)
	setDefault(&b.Ratio, d.Ratio)
	setDefault(&b.Window, d.Window)
	setDefault(&b.Open, d.Open)
	setDefault(&b.MaxOpen, d.MaxOpen)
	return b
}

// DefaultRetry is the schedule of an endpoint that has none: ten attempts over a bit more than three days.
func DefaultRetry() []time.Duration {
	const h = time.Hour
	return []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * h, 5 * h, 10 * h, 14 * h, 20 * h, 24 * h}
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c Config) withDefaults() Config {
	setDefault(&c.Prefix, "dgbot")
	setDefault(&c.Replicas, 1)
	setDefault(&c.Retain, 7*24*time.Hour)
	setDefault(&c.AckWait, 10*time.Second)
	setDefault(&c.MaxAckPending, 65_536)
	setDefault(&c.MaxDeliveries, 20)
	setDefault(&c.MaxRetryAfter, 24*time.Hour)
	setDefault(&c.SettleTimeout, 5*time.Second)
	setDefault(&c.Grace, 2*time.Second)
	setDefault(&c.Reserve, 32<<10)
	c.Breaker = c.Breaker.withDefaults(Breaker{Requests: 10, Ratio: 0.5, Window: time.Minute, Open: 30 * time.Second, MaxOpen: 10 * time.Minute})
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate names every mistake at once, so that a set-up is corrected in one go.
func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.JetStream != nil, "JetStream is missing")
	check(prefixPattern.MatchString(c.Prefix), "prefix %q: want tokens of [A-Za-z0-9_-] with dots between them", c.Prefix)
	check(c.Retain >= time.Second, "retain %v: want at least 1s", c.Retain)
	check(c.AckWait >= 30*time.Millisecond, "ack wait %v: want at least 30ms", c.AckWait)
	check(c.Breaker.Ratio > 0 && c.Breaker.Ratio <= 1, "breaker ratio %v: want more than 0 and at most 1", c.Breaker.Ratio)
	positive := map[string]int64{
		"replicas": int64(c.Replicas), "max ack pending": int64(c.MaxAckPending), "max deliveries": int64(c.MaxDeliveries),
		"max retry after": int64(c.MaxRetryAfter), "settle timeout": int64(c.SettleTimeout), "grace": int64(c.Grace),
		"reserve": int64(c.Reserve), "breaker requests": int64(c.Breaker.Requests), "breaker window": int64(c.Breaker.Window),
		"breaker open": int64(c.Breaker.Open), "breaker max open": int64(c.Breaker.MaxOpen - c.Breaker.Open + 1),
	}
	for name, v := range positive {
		check(v > 0, "%s: too small", name)
	}
	return errors.Join(errs...)
}

func (e Endpoint) withDefaults(c Config) Endpoint {
	setDefault(&e.MaxRetryAfter, c.MaxRetryAfter)
	e.Breaker = e.Breaker.withDefaults(c.Breaker)
	setDefault(&e.Concurrency, 8)
	setDefault(&e.Timeout, 30*time.Second)
	e.Retry = slices.Clone(e.Retry)
	if len(e.Retry) == 0 {
		e.Retry = DefaultRetry()
	}
	return e
}

func (e Endpoint) validate() error {
	switch {
	case !namePattern.MatchString(e.Name):
		return fmt.Errorf("endpoint name %q: want 1 to 64 of [A-Za-z0-9_-]", e.Name)
	case e.Sink == nil:
		return fmt.Errorf("endpoint %s: it has no sink", e.Name)
	case e.Concurrency < 0 || e.Rate < 0 || e.Timeout < 0 || e.Jitter < 0 || e.Jitter > 1 || e.MaxRetryAfter < 0:
		return fmt.Errorf("endpoint %s: concurrency, rate, timeout, jitter and longest pause can't be negative, and jitter is at most 1", e.Name)
	case slices.ContainsFunc(e.Retry, func(d time.Duration) bool { return d < 0 }):
		return fmt.Errorf("endpoint %s: retry has a negative delay", e.Name)
	}
	return nil
}
