package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

// EventFilter selects dead events. Empty fields select all.
type EventFilter struct {
	Trigger string
	Bot     string
	Since   time.Time // dead since then
}

// DeadEvents yields the dead events that f selects, oldest first. What comes in meanwhile is left out.
func (a *Archive) DeadEvents(ctx context.Context, f EventFilter) iter.Seq2[*DeadEvent, error] {
	return func(yield func(*DeadEvent, error) bool) {
		info, err := a.dead.Info(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("read stream: %w", err))
			return
		}
		subject := a.names.Prefix + ".dead.events." + star(f.Trigger) + ".*"
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			msg, err := a.dead.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence > info.State.LastSeq {
				return
			}
			e := new(DeadEvent)
			if err == nil {
				seq, err = msg.Sequence, json.Unmarshal(msg.Data, e)
			}
			if err != nil {
				yield(nil, fmt.Errorf("read dead event: %w", err))
				return
			}
			if (f.Bot == "" || f.Bot == e.Bot) && !e.DiedAt.Before(f.Since) && !yield(e, nil) {
				return
			}
		}
	}
}

// DeadEvent returns the dead event with that id.
func (a *Archive) DeadEvent(ctx context.Context, id string) (*DeadEvent, error) {
	e, _, err := a.deadEvent(ctx, id)
	return e, err
}

func (a *Archive) deadEvent(ctx context.Context, id string) (*DeadEvent, *jetstream.RawStreamMsg, error) {
	letter, err := a.dead.GetLastMsgForSubject(ctx, a.names.DeadEvent("*", id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, fmt.Errorf("event %q: %w", id, ErrNotFound)
	}
	e := new(DeadEvent)
	if err == nil {
		err = json.Unmarshal(letter.Data, e)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read dead event %q: %w", id, err)
	}
	return e, letter, nil
}

// RetryEvent publishes the event again on its own subject, with its headers, and removes the dead letter. Whoever else
// listens there gets it too. Its count of hops begins anew.
func (a *Archive) RetryEvent(ctx context.Context, id string) error {
	e, letter, err := a.deadEvent(ctx, id)
	if err == nil && e.Truncated {
		err = fmt.Errorf("its payload is cut; the event itself was on stream %s at sequence %d", e.Stream, e.Sequence)
	}
	if err == nil {
		err = a.publishAgain(ctx, e)
	}
	if err == nil {
		err = a.drop(ctx, letter)
	}
	if err != nil {
		return fmt.Errorf("retry dead event: %w", err)
	}
	return nil
}

// republishWait bounds what publishing one event again may take.
const republishWait = 10 * time.Second

// publishAgain stores the event where a stream holds its subject, and hands it to whoever listens where none does.
func (a *Archive) publishAgain(ctx context.Context, e *DeadEvent) error {
	msg := &nats.Msg{Subject: e.Subject, Header: nats.Header{}, Data: e.payload()}
	for name, values := range e.Headers {
		if name == worker.HeaderID || !strings.HasPrefix(name, "Nats-") && name != worker.HeaderHops {
			msg.Header[name] = values
		}
	}
	ctx, cancel := context.WithTimeout(ctx, republishWait)
	defer cancel()
	_, err := a.js.StreamNameBySubject(ctx, e.Subject)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := a.js.Conn().PublishMsg(msg); err != nil {
			return err
		}
		return a.js.Conn().FlushWithContext(ctx)
	}
	if err != nil {
		return err
	}
	ack, err := a.js.PublishMsg(ctx, msg)
	if err == nil && ack.Duplicate {
		err = fmt.Errorf("stream %s recognises its Nats-Msg-Id and did not take it again: wait until the stream's duplicate window has passed", ack.Stream)
	}
	return err
}

// DropEvent removes the dead letter of an event.
func (a *Archive) DropEvent(ctx context.Context, id string) error {
	_, letter, err := a.deadEvent(ctx, id)
	if err == nil {
		err = a.drop(ctx, letter)
	}
	if err != nil {
		return fmt.Errorf("drop dead event: %w", err)
	}
	return nil
}
