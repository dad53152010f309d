package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
)

// DeadEvent is an event that a trigger could make no prompt of, as the dead letters keep it.
type DeadEvent struct {
	ID           string              `json:"id"` // the same for the same event and trigger
	Trigger      string              `json:"trigger"`
	Bot          string              `json:"bot"`
	Reason       string              `json:"reason"`
	Subject      string              `json:"subject"`
	Headers      map[string][]string `json:"headers,omitempty"`
	Payload      string              `json:"payload,omitempty"`        // of the event, if it is UTF-8
	Bytes        []byte              `json:"payload_base64,omitempty"` // and if it is not
	Truncated    bool                `json:"truncated,omitempty"`      // the payload was too large for a dead letter and is cut
	Stream       string              `json:"stream,omitempty"`         // that held the event
	Sequence     uint64              `json:"sequence,omitempty"`
	At           rules.Time          `json:"at"`      // when NATS had the event
	DiedAt       rules.Time          `json:"died_at"` // when it became a dead letter
	RulesVersion string              `json:"rules_version"`
}

// SetPayload keeps the payload of the event.
func (e *DeadEvent) SetPayload(b []byte) {
	if e.Payload, e.Bytes = "", nil; utf8.Valid(b) {
		e.Payload = string(b)
		return
	}
	e.Bytes = b
}

func (e *DeadEvent) payload() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.Payload)
}

// StorePrompt stores the message of a prompt, and keeps trying until it is stored or ctx ends. It reports whether the
// stream had it already. worker.ErrTooLarge is the one error that no further try could mend.
func (q *Queue) StorePrompt(ctx context.Context, msg *nats.Msg) (duplicate bool, err error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		duplicate, err := q.storeOnce(ctx, msg)
		switch {
		case err == nil:
			return duplicate, nil
		case errors.Is(err, nats.ErrMaxPayload):
			return false, worker.ErrTooLarge
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		}
		q.Log.Warn("NATS did not store a prompt: trying again", zap.String("subject", msg.Subject), zap.Error(err))
		if err := wait(ctx, pause/2+rand.N(pause)); err != nil {
			return false, err
		}
	}
}

func (q *Queue) storeOnce(ctx context.Context, msg *nats.Msg) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, q.Publish)
	defer cancel()
	ack, err := q.JetStream.PublishMsg(ctx, msg)
	if err != nil {
		return false, err
	}
	return ack.Duplicate, nil
}

// BuryEvent stores a dead letter of an event, once, and keeps trying until it is stored or ctx ends. A payload that
// leaves no room for the rest is cut.
func (q *Queue) BuryEvent(ctx context.Context, e *DeadEvent) error {
	subject := q.Names.DeadEvent(e.Trigger, e.ID)
	for {
		data, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode dead event: %w", err)
		}
		err = q.keep(ctx, q.letters, &nats.Msg{Subject: subject, Data: data})
		if !errors.Is(err, worker.ErrTooLarge) || !e.cut() {
			return err
		}
	}
}

// cut halves the payload; it returns false if there is none left.
func (e *DeadEvent) cut() bool {
	b := e.payload()
	if len(b) == 0 {
		if len(e.Headers) == 0 {
			return false
		}
		e.Headers = nil // headers alone are more than a message may have
	}
	e.Truncated = true
	b = b[:len(b)/2]
	for len(b) > 0 && e.Bytes == nil && !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	e.SetPayload(b)
	return true
}

// EnsureStream creates one stream that is not among those of EnsureStreams if it is missing, and says what keeps
// dgworker from working with one that is there.
func (q *Queue) EnsureStream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	want.Storage, want.Replicas = q.Storage, q.Replicas
	if err := ensureStream(ctx, &q.Config, want); err != nil {
		return nil, err
	}
	return q.JetStream.Stream(ctx, want.Name)
}
