package outbox

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// toTodo moves an action to todo at once: a new one with expect 0, or one that is taken back.
func (s *store) toTodo(ctx context.Context, r record, expect uint64) error {
	d := r.Delivery
	r.Next = time.Time{}
	id := ""
	if expect != 0 { // a new one needs no id: whatever is there already means that it was enqueued
		id = stepID(expect, Todo)
	}
	m, err := s.message(s.action(d.Endpoint, d.ID, Todo), id, r)
	if err != nil {
		return err
	}
	return s.advance(ctx, m, d.Endpoint, d.ID, expect)
}

// toWait moves an action to wait: a schedule that becomes its todo at the given time.
func (s *store) toWait(ctx context.Context, r record, expect uint64, at time.Time) error {
	d := r.Delivery
	r.Next = at.UTC().Truncate(time.Millisecond)
	id := ""
	if expect != 0 {
		id = stepID(expect, Wait)
	}
	m, err := s.message(s.action(d.Endpoint, d.ID, Wait), id, r)
	if err != nil {
		return err
	}
	// Not jetstream.WithScheduleAt: it cuts the time to whole seconds, and so can fire up to a second early.
	m.Header.Set(jetstream.ScheduleHeader, "@at "+at.UTC().Format(time.RFC3339Nano))
	m.Header.Set(jetstream.ScheduleTargetHeader, s.action(d.Endpoint, d.ID, Todo))
	return s.advance(ctx, m, d.Endpoint, d.ID, expect)
}

// toDone moves an action to done: the small marker that guards its id until it expires.
func (s *store) toDone(ctx context.Context, r record, expect uint64, outcome State, reason string) error {
	d := r.Delivery
	m, err := s.message(s.action(d.Endpoint, d.ID, Done), stepID(expect, outcome), r.settled(outcome, reason, time.Now()))
	if err != nil {
		return err
	}
	ttl := (s.retain + time.Second - 1).Truncate(time.Second)
	return s.advance(ctx, m, d.Endpoint, d.ID, expect, jetstream.WithMsgTTL(ttl))
}

// stepID names the step that replaces the message of sequence seq. It is unique in the stream: the same publish twice
// has the same id, and the same action redriven has another sequence, so the duplicate window swallows nothing.
func stepID(seq uint64, to State) string { return strconv.FormatUint(seq, 10) + "." + string(to) }

// putLetter writes the dead letter of the todo of sequence todo. A letter that is there from the same todo is kept, one
// from before a redrive is replaced. wrote is the letter's sequence, 0 if it was there.
func (s *store) putLetter(ctx context.Context, r record, todo uint64, reason string) (wrote uint64, err error) {
	d := r.Delivery
	r.Outcome, r.Reason, r.Next, r.At = Dead, reason, time.Time{}, time.Now().UTC().Truncate(time.Millisecond)
	m, err := s.message(s.dead(d.Endpoint, d.ID), d.ID+"."+strconv.FormatUint(todo, 10), r)
	if err != nil {
		return 0, err
	}
	m.Header.Set(headerTodo, strconv.FormatUint(todo, 10))
	for expect, pause := uint64(0), 5*time.Millisecond; ; pause = min(2*pause, time.Second) {
		ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(expect))
		if err == nil {
			return freshSequence(ack), nil
		}
		if !refused(err) {
			return 0, err
		}
		there, err := s.letter(ctx, d.Endpoint, d.ID)
		if err != nil {
			return 0, err
		}
		if there != nil && there.todo == todo {
			return 0, nil
		}
		if expect = sequence(there); pause > 5*time.Millisecond { // direct reads may lag behind: don't spin
			if err := sleep(ctx, pause); err != nil {
				return 0, err
			}
		}
	}
}

func freshSequence(ack *jetstream.PubAck) uint64 {
	if ack.Duplicate {
		return 0
	}
	return ack.Sequence
}

// toDead is the whole end of an action that failed: the letter first, then the marker. The letter of a stale holder,
// whose action somebody else has delivered meanwhile, is taken back.
func (s *store) toDead(ctx context.Context, r record, todo uint64, reason string) error {
	d := r.Delivery
	last, err := s.last(ctx, d.Endpoint, d.ID)
	if err != nil {
		return err
	}
	if last == nil || (last.seq != todo && last.msgID != stepID(todo, Dead)) {
		return errStale
	}
	wrote, err := s.putLetter(ctx, r, todo, reason)
	if err != nil {
		return err
	}
	return s.closeLetter(ctx, r, todo, wrote, reason)
}

func (s *store) closeLetter(ctx context.Context, r record, todo, wrote uint64, reason string) error {
	err := s.toDone(ctx, r, todo, Dead, reason)
	if errors.Is(err, errStale) && wrote != 0 {
		return errors.Join(err, ignoreMissing(s.letters.DeleteMsg(ctx, wrote)))
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// stateOf is the last token of an action's subject, or Dead for a dead letter's.
func (s *store) stateOf(subject string) State {
	if strings.HasPrefix(subject, s.prefix+".dead.") {
		return Dead
	}
	return State(subject[strings.LastIndexByte(subject, '.')+1:])
}
