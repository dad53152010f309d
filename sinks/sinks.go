// Package sinks defines what carrying one action to its destination means: the Delivery, the Sink that attempts it, and
// the Verdict of an attempt.
//
// It owns no queue, no schedule and no transport: sinks/outbox keeps deliveries and decides when the next attempt is,
// sinks/webhook and sinks/publish make the attempts. It knows nothing of rules.
//
// # Adding a sink
//
// A sink is one folder with three things: a Config whose fields say their defaults, a Deliver method, and a test that
// calls the conformance suite in sinks/sinktest:
//
//	package queue // sinks/queue
//
//	// Config says where the queue is.
//	type Config struct {
//		Address string        // host:port
//		Timeout time.Duration // of one attempt; defaults to 5s
//	}
//
//	func New(cfg Config) (*Sink, error) { … }
//
//	// Deliver makes one attempt. It checks the delivery first: what can never pass is Permanent, before a connection.
//	func (s *Sink) Deliver(ctx context.Context, d sinks.Delivery) sinks.Verdict {
//		if !sinks.ValidID(d.ID) {
//			return sinks.Verdict{Class: sinks.Permanent, Reason: "the delivery's id is not valid"}
//		}
//		…
//	}
//
// and in queue_test.go, with a real destination behind it:
//
//	func TestConformance(t *testing.T) {
//		sinktest.Run(t, sinktest.Harness{Start: startQueue})
//	}
//
// sinktest imports testing, so only _test files may import it. Whatever a destination says about itself (a status, an
// error, a body) goes through Clean before it enters a Verdict.
package sinks

import (
	"context"
	"time"
)

// Delivery is one action on its way: stored once, and byte-identical on every attempt.
type Delivery struct {
	ID        string            `json:"id"`       // stable for ever, [A-Za-z0-9_-]{1,64}; receivers de-duplicate on it
	Endpoint  string            `json:"endpoint"` // names the sink and the lane: [A-Za-z0-9_-]{1,64}
	Rule      string            `json:"rule,omitempty"`
	Prompt    string            `json:"prompt,omitempty"` // the prompt's id
	Bot       string            `json:"bot,omitempty"`
	Event     string            `json:"event,omitempty"` // the type of the event that fired the rule
	CreatedAt time.Time         `json:"created_at"`
	Method    string            `json:"method,omitempty"`  // webhook; "" is POST
	Path      string            `json:"path,omitempty"`    // webhook: escaped, begins with "/", added to the endpoint's URL
	Query     string            `json:"query,omitempty"`   // webhook: encoded, without "?"
	Subject   string            `json:"subject,omitempty"` // publish
	Order     string            `json:"order,omitempty"`   // deliveries of one endpoint with the same are made one after the other; a token of a subject, "" is no order
	Headers   map[string]string `json:"headers,omitempty"`
	Body      []byte            `json:"body,omitempty"`
}

// Sink is one destination. Deliver makes exactly one attempt and says how it went; it holds no state about a delivery
// and never retries by itself. It returns when ctx ends. Implementations are safe for concurrent use.
type Sink interface {
	Deliver(ctx context.Context, d Delivery) Verdict
}

// Class is the disposition of an attempt.
type Class string

// The classes. They alone decide what the outbox does next.
const (
	Delivered Class = "delivered" // done; never sent again
	Retry     Class = "retry"     // may pass: try again by the schedule
	Limited   Class = "limited"   // probably permanent: try again, but at most Verdict.MaxAttempts in all
	Permanent Class = "permanent" // will never pass: a dead letter at once
	Gone      Class = "gone"      // the endpoint itself is gone: disable it, park its lane
)

// Verdict is the result of one attempt, and its line in the attempt log.
type Verdict struct {
	Class       Class         `json:"class"`
	Reason      string        `json:"reason,omitempty"`       // for people; holds no secret and no query string
	RetryAfter  time.Duration `json:"retry_after,omitempty"`  // the destination asked for this pause; it holds the whole endpoint
	MaxAttempts int           `json:"max_attempts,omitempty"` // with Limited
	Status      int           `json:"status,omitempty"`       // HTTP status, 0 if there was none
	Address     string        `json:"address,omitempty"`      // ip:port that was dialled
	Excerpt     string        `json:"excerpt,omitempty"`      // sanitised start of the response body, at most 16 KiB
}
