package publish

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

const maxReason = 512 // bytes

// permanent are errors that no later attempt of the same message can escape.
var permanent = []error{
	nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrBadHeaderMsg, jetstream.ErrInvalidSubject, jetstream.ErrStreamMessageExceedsMaximum,
}

// violation is the permission error that the connection has reported since before, if any. NATS answers a publish that
// is not permitted on the connection, not to the publisher, and the client keeps the last one alone.
func (s *Sink) violation(before error) error {
	last := s.cfg.Conn.LastError()
	if last == before || !errors.Is(last, nats.ErrPermissionViolation) {
		return nil
	}
	return last
}

// failed classifies err, which publishing on subject gave. before is the connection's last error from before it began.
func (s *Sink) failed(err error, subject string, before error) sinks.Verdict {
	if v := s.violation(before); v != nil {
		return s.denied(v, subject)
	}
	v := sinks.Verdict{Class: sinks.Retry, Reason: sinks.Clean(err.Error(), maxReason)}
	var refused *jetstream.APIError
	switch {
	case isAny(err, permanent):
		v.Class = sinks.Permanent
	case errors.Is(err, context.DeadlineExceeded):
		v.Reason = "no answer from NATS within " + s.cfg.Timeout.String()
	case errors.As(err, &refused) && refused.Code < 500: // 5xx may pass: trouble of the server, or a stream that is full
		v.Class, v.MaxAttempts = sinks.Limited, s.cfg.LimitedAttempts
	}
	return v
}

// denied is about a permission. Where the connection was refused another subject meanwhile, ours may have been refused
// just before that and nobody can tell: then it is sent again, which is better than lost.
func (s *Sink) denied(violation error, subject string) sinks.Verdict {
	if strings.Contains(violation.Error(), `Publish to "`+subject) {
		return sinks.Verdict{
			Class: sinks.Limited, MaxAttempts: s.cfg.LimitedAttempts,
			Reason: sinks.Clean("not permitted to publish on "+subject+"; grant it to dgworker's NATS user", maxReason),
		}
	}
	return sinks.Verdict{Class: sinks.Retry, Reason: "NATS refused something else at the same time, and it can't be told whether this was refused too"}
}

func isAny(err error, these []error) bool {
	for _, one := range these {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
