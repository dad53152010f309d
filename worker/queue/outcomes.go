package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
)

// headerWriter tells an outcome that was stored unheard from a rival's.
const headerWriter = "Dgworker-Writer"

// Outcomes keeps the one final record of every prompt.
type Outcomes struct {
	publisher
	names   Names
	stream  jetstream.Stream
	letters jetstream.Stream // of the dead
	conn    *nats.Conn
	fences  bool // the stream holds them: see TakeOver
}

// Publish stores o, expecting that its prompt has no outcome under any bot and status and was not taken over after fence, and
// sends a copy to replyTo.
//
// A dead letter is stored before its outcome, because nobody looks at a prompt again that has one. The journal has
// settled by then that the prompt ends so, whoever publishes it.
func (s *Outcomes) Publish(ctx context.Context, o *worker.Outcome, replyTo string, fence uint64) error {
	data, err := s.encode(o)
	if err != nil {
		return err
	}
	if o.Status.Dead() {
		if err := s.bury(ctx, o, data); err != nil {
			return err
		}
	}
	msg := &nats.Msg{Subject: s.names.Outcome(o.Bot, string(o.Status), o.ID), Data: data, Header: header(o)}
	guard := jetstream.WithExpectLastSequenceForSubject(fence, s.settling(o.ID))
	if _, err = s.store(ctx, msg, guard, s.mine(s.settling(o.ID), o.Writer, fence)); err != nil {
		return err
	}
	s.reply(replyTo, o, data)
	if fence != 0 {
		s.lift(ctx, o.ID)
	}
	return nil
}

// bury copies the outcome to the dead letters. One that is there already stays: it is this prompt's.
func (s *Outcomes) bury(ctx context.Context, o *worker.Outcome, data []byte) error {
	msg := &nats.Msg{Subject: s.names.DeadPrompt(o.Bot, o.ID), Data: data, Header: header(o)}
	return s.keep(ctx, s.letters, msg)
}

// mine says whether what stands on subject since the message at sequence after was written by writer ("": by none).
func (s *Outcomes) mine(subject, writer string, after uint64) func(context.Context) (uint64, bool, bool, error) {
	return func(ctx context.Context) (uint64, bool, bool, error) {
		msg, err := s.last(ctx, subject)
		if msg == nil || err != nil {
			return 0, false, false, err
		}
		return msg.Sequence, msg.Sequence != after, writer != "" && msg.Header.Get(headerWriter) == writer, nil
	}
}

func (s *Outcomes) reply(to string, o *worker.Outcome, data []byte) {
	if to == "" {
		return
	}
	if err := s.conn.PublishMsg(&nats.Msg{Subject: to, Data: data, Header: header(o)}); err != nil {
		s.log.Warn("outcome could not be sent to reply_to", zap.String("subject", to), zap.Error(err))
	}
}

// Settled says whether prompt has an outcome, and removes the fence that a publisher who died may have left.
func (s *Outcomes) Settled(ctx context.Context, prompt string) (bool, error) {
	msg, err := s.last(ctx, s.names.Outcome("*", "*", prompt))
	if err != nil {
		return false, fmt.Errorf("look for the outcome of prompt %q: %w", prompt, err)
	}
	if msg == nil {
		return false, nil
	}
	fence, err := s.last(ctx, s.names.fence(prompt))
	if err != nil {
		return false, fmt.Errorf("look for the fence of prompt %q: %w", prompt, err)
	}
	if fence != nil {
		s.lift(ctx, prompt)
	}
	return true, nil
}

// last returns the last message on subject, nil if there is none.
func (s *Outcomes) last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}

// encode writes o as JSON, made smaller step by step until NATS takes it.
func (s *Outcomes) encode(o *worker.Outcome) ([]byte, error) {
	room := int(s.conn.MaxPayload()) - headerRoom
	for level := 0; ; level++ {
		data, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("encode outcome: %w", err)
		}
		if len(data) <= room {
			return data, nil
		}
		if !o.Shrink(level, room) {
			return nil, fmt.Errorf("encode outcome: %d bytes are more than NATS takes: %w", len(data), worker.ErrTooLarge)
		}
	}
}

// headerRoom is what the headers of an outcome may take of NATS's max_payload.
const headerRoom = 8 << 10

// header returns the CloudEvents 1.0 binary-mode headers of an outcome, and the count of hops, so that a trigger that
// reads outcomes can't go round for ever.
func header(o *worker.Outcome) nats.Header {
	h := nats.Header{
		"ce-specversion": {"1.0"},
		"ce-id":          {rules.EncodeToken(o.ID)},
		"ce-source":      {"/dgworker/bots/" + o.Bot},
		"ce-type":        {"dgworker.outcome." + string(o.Status)},
		"ce-time":        {o.EndedAt.UTC().Format(rules.TimeFormat)},
		"ce-subject":     {rules.EncodeToken(o.ID)},
		"Content-Type":   {"application/json"},
		headerWriter:     {o.Writer},
	}
	if hops := o.Prompt.Headers[worker.HeaderHops]; hops != "" {
		h.Set(worker.HeaderHops, hops)
	}
	return h
}
