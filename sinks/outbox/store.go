package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers that an action's messages carry besides those of NATS.
const (
	headerAttempt = "Dgworker-Attempt" // the attempts made so far
	headerTodo    = "Dgworker-Todo"    // dead letters: sequence of the todo that ended
)

// payloadMargin is what the headers of a message may take of max_payload.
const payloadMargin = 1 << 10

// store reads and writes actions and dead letters: the steps of the package doc, one method each. It keeps no state and
// decides nothing.
type store struct {
	names
	js      jetstream.JetStream
	actions jetstream.Stream
	letters jetstream.Stream
	retain  time.Duration
}

// stored is one message of an action as it was read.
type stored struct {
	record
	endpoint, id string
	state        State // of the subject; Dead for a dead letter
	seq          uint64
	msgID        string
	todo         uint64 // dead letters: see headerTodo
}

func (s *store) limit() int { return int(s.js.Conn().MaxPayload()) - payloadMargin }

// last reads the last message of an action, its state. It is nil where there is none. "*" as endpoint is any.
func (s *store) last(ctx context.Context, endpoint, id string) (*stored, error) {
	raw, err := s.actions.GetLastMsgForSubject(ctx, s.action(endpoint, id, anyState))
	return s.read(raw, err)
}

// letter reads the dead letter of an action, nil where there is none.
func (s *store) letter(ctx context.Context, endpoint, id string) (*stored, error) {
	raw, err := s.letters.GetLastMsgForSubject(ctx, s.dead(endpoint, id))
	return s.read(raw, err)
}

func (s *store) read(raw *jetstream.RawStreamMsg, err error) (*stored, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.decode(raw.Subject, raw.Header, raw.Data, raw.Sequence), nil
}

// decode never fails: what is no record of ours (somebody published by hand) becomes one whose body is that text, so
// that it can be listed and become a dead letter like any other.
func (s *store) decode(subject string, h nats.Header, data []byte, seq uint64) *stored {
	m := &stored{seq: seq, msgID: h.Get(nats.MsgIdHdr), state: s.stateOf(subject)}
	m.endpoint, m.id = s.parse(subject)
	m.todo, _ = strconv.ParseUint(h.Get(headerTodo), 10, 64)
	err := json.Unmarshal(data, &m.record)
	if err != nil || m.Delivery.ID != m.id || m.Delivery.Endpoint != m.endpoint {
		m.record = record{Reason: reasonForeign, Outcome: m.record.Outcome}
		m.Delivery.ID, m.Delivery.Endpoint, m.Delivery.Body = m.id, m.endpoint, data[:min(len(data), maxForeign)]
	}
	return m
}

// reasonForeign is the reason of a record that the outbox didn't write.
const reasonForeign = "the stored message is not a delivery that dgworker wrote"

// maxForeign is what is kept of such a message, in bytes.
const maxForeign = 64 << 10

// message makes the message of a record in a state. id makes a repeated publish of the same step recognisable.
func (s *store) message(subject, id string, r record) (*nats.Msg, error) {
	data, err := r.encode(s.limit())
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(headerAttempt, strconv.Itoa(r.last().N))
	if id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	return m, nil
}

// advance publishes m as the action's new state if its last message is still the one of sequence expect. A step that
// was stored before, by a publish whose answer got lost, is recognised by its message id. errStale says that somebody
// else has moved the action on.
func (s *store) advance(ctx context.Context, m *nats.Msg, endpoint, id string, expect uint64, opts ...jetstream.PublishOpt) error {
	opts = append(opts, jetstream.WithExpectLastSequenceForSubject(expect, s.action(endpoint, id, anyState)))
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := s.js.PublishMsg(ctx, m, opts...)
		if !refused(err) {
			return err
		}
		last, err := s.last(ctx, endpoint, id)
		switch {
		case err != nil:
			return err
		case last != nil && last.msgID != "" && last.msgID == m.Header.Get(nats.MsgIdHdr):
			return nil
		case sequence(last) != expect:
			return errStale
		}
		// With replicas a refusal can also mean that a rival's publish is still under way: ask again.
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func sequence(m *stored) uint64 {
	if m == nil {
		return 0
	}
	return m.seq
}

// refused says whether an expected sequence wasn't met. Replicated streams have a code of their own for it.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// sleep waits for d unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	}
}
