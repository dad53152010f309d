package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Retry makes a dead action alive again under its own id, so that a receiver which took it before recognises it. Its
// log is kept, its schedule begins anew. ErrNotFound says that there is no such dead letter.
//
// The order is the promise: the copy is stored and acknowledged before anything is removed, and a Retry that was cut
// off anywhere can be repeated without making a second copy.
func (a *Archive) Retry(ctx context.Context, id string) error {
	if err := a.retry(ctx, id); err != nil {
		return fmt.Errorf("retry dead action %s: %w", id, err)
	}
	return nil
}

func (a *Archive) retry(ctx context.Context, id string) error {
	letter, err := a.findLetter(ctx, id)
	if err != nil {
		return err
	}
	last, err := a.store.last(ctx, letter.endpoint, letter.id)
	if err != nil {
		return err
	}
	if last == nil || last.Redrive != letter.seq { // otherwise the copy was made by a Retry that went no further
		if err := a.revive(ctx, letter, last); err != nil {
			return err
		}
	}
	return a.remove(ctx, letter)
}

// revive publishes the dead action as todo, expecting the state that was read.
func (a *Archive) revive(ctx context.Context, letter, last *stored) error {
	rec := letter.record
	rec.Tries, rec.Outcome, rec.Reason, rec.At, rec.Redrive = 0, "", "", time.Time{}, letter.seq
	err := a.store.toTodo(ctx, rec, sequence(last))
	if errors.Is(err, errStale) {
		return errors.New("somebody else is redriving it just now, look again")
	}
	return err
}

// remove takes the letter away, and the marker that said dead. What was written under the same subjects meanwhile (the
// action may have run and died again) is newer than the letter and stays.
func (a *Archive) remove(ctx context.Context, letter *stored) error {
	s := a.store
	last, err := s.last(ctx, letter.endpoint, letter.id)
	if err != nil {
		return err
	}
	if last != nil && last.state != Done {
		err = s.actions.Purge(ctx, jetstream.WithPurgeSubject(s.action(letter.endpoint, letter.id, Done)), jetstream.WithPurgeSequence(last.seq))
		if err != nil {
			return err
		}
	}
	return s.letters.Purge(ctx, jetstream.WithPurgeSubject(s.dead(letter.endpoint, letter.id)), jetstream.WithPurgeSequence(letter.seq+1))
}

// Drop removes a dead letter for good. That the action was there is remembered for as long as any settled one, so it
// isn't enqueued again. ErrNotFound says that there is no such dead letter.
func (a *Archive) Drop(ctx context.Context, id string) error {
	letter, err := a.findLetter(ctx, id)
	if err == nil {
		s := a.store
		err = s.letters.Purge(ctx, jetstream.WithPurgeSubject(s.dead(letter.endpoint, letter.id)), jetstream.WithPurgeSequence(letter.seq+1))
	}
	if err != nil {
		return fmt.Errorf("drop dead action %s: %w", id, err)
	}
	return nil
}
