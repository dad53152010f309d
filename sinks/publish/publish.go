package publish

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

// Sink publishes deliveries on one NATS connection. It is safe for concurrent use.
type Sink struct {
	cfg     Config
	streams *streams
}

// New makes a sink on cfg.Conn; it sends nothing yet.
func New(cfg Config) (*Sink, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, streams: &streams{
		js: cfg.JetStream, ttl: cfg.StreamTTL, limit: cfg.StreamCache, known: map[string]held{},
	}}, nil
}

// Deliver publishes d, in Config.Timeout at most. It never changes d.
func (s *Sink) Deliver(ctx context.Context, d sinks.Delivery) sinks.Verdict {
	if err := check(d); err != nil {
		return sinks.Verdict{Class: sinks.Permanent, Reason: sinks.Clean("the delivery can't be published: "+err.Error(), maxReason)}
	}
	if !s.cfg.Conn.IsConnected() { // else the client would keep it in a buffer and send it after we said that it failed
		return sinks.Verdict{Class: sinks.Retry, Reason: "not connected to NATS"}
	}
	own, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	v := s.publish(own, s.message(d))
	v.Address = s.cfg.Conn.ConnectedAddr()
	if v.Class != sinks.Delivered && ctx.Err() != nil {
		v.Class, v.MaxAttempts = sinks.Retry, 0
		v.Reason = sinks.Clean("the attempt was stopped: "+context.Cause(ctx).Error(), maxReason)
	}
	return v
}

func (s *Sink) publish(ctx context.Context, m *nats.Msg) sinks.Verdict {
	before := s.cfg.Conn.LastError()
	stored, err := s.streams.hold(ctx, m.Subject)
	if err != nil {
		return s.failed(fmt.Errorf("look up the subject's stream: %w", err), "$JS.API.STREAM.NAMES", before)
	}
	if stored {
		return s.store(ctx, m, before)
	}
	return s.hand(ctx, m, before)
}

// store publishes into the subject's stream and waits for its acknowledgement. A retry is the outbox's business, hence
// none here.
func (s *Sink) store(ctx context.Context, m *nats.Msg, before error) sinks.Verdict {
	ack, err := s.cfg.JetStream.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		s.streams.forget(m.Subject) // the stream may be gone, and another attempt shall see that
		return s.failed(err, m.Subject, before)
	}
	v := sinks.Verdict{Class: sinks.Delivered, Excerpt: fmt.Sprintf("stream %s, sequence %d", ack.Stream, ack.Sequence)}
	if ack.Duplicate {
		v.Reason = "the stream had stored it before"
	}
	return v
}

// hand publishes on core NATS. The flush returns once the server has dealt with the message, and a refusal comes before
// the flush's answer.
func (s *Sink) hand(ctx context.Context, m *nats.Msg, before error) sinks.Verdict {
	if err := s.cfg.Conn.PublishMsg(m); err != nil {
		return s.failed(err, m.Subject, before)
	}
	if err := s.cfg.Conn.FlushWithContext(ctx); err != nil {
		return s.failed(err, m.Subject, before)
	}
	if err := s.violation(before); err != nil {
		return s.failed(err, m.Subject, before)
	}
	return sinks.Verdict{Class: sinks.Delivered}
}
