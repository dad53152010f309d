package outbox

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

// Filter selects actions. Empty fields select all.
type Filter struct {
	Endpoint string
	Rule     string
	Prompt   string      // the prompt's id
	Bot      string      //
	State    State       // Todo, Wait, Done or Dead
	Class    sinks.Class // verdict of the latest attempt
}

func (f Filter) match(i Item) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Endpoint, i.Delivery.Endpoint) && is(f.Rule, i.Delivery.Rule) && is(f.Prompt, i.Delivery.Prompt) &&
		is(f.Bot, i.Delivery.Bot) && is(string(f.State), string(i.State)) && is(string(f.Class), string(i.Class()))
}

// List yields the actions that f selects, oldest state first, the dead ones after all others. Each is yielded once, as
// it stands when it is reached; what comes in after List began is left out. An error ends it.
func (a *Archive) List(ctx context.Context, f Filter) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if f.State != Dead && !a.listActions(ctx, f, yield) {
			return
		}
		if f.State == "" || f.State == Dead {
			a.listLetters(ctx, f, yield)
		}
	}
}

// DeadList yields the dead letters that f selects, oldest first.
func (a *Archive) DeadList(ctx context.Context, f Filter) iter.Seq2[Item, error] {
	f.State = Dead
	return a.List(ctx, f)
}

func (a *Archive) listActions(ctx context.Context, f Filter, yield func(Item, error) bool) bool {
	s := a.store
	subject := s.action(token(f.Endpoint), "*", State(token(string(f.State))))
	return a.scan(ctx, s.actions, subject, func(m *stored) bool {
		item := m.item()
		if item.State == Dead || !f.match(item) {
			return true
		}
		last, err := s.last(ctx, m.endpoint, m.id) // a state that a later one has replaced, and not yet removed
		if err != nil {
			yield(Item{}, fmt.Errorf("list actions: %w", err))
			return false
		}
		return sequence(last) != m.seq || yield(item, nil)
	}, yield)
}

func (a *Archive) listLetters(ctx context.Context, f Filter, yield func(Item, error) bool) {
	a.scan(ctx, a.store.letters, a.store.dead(token(f.Endpoint), "*"), func(m *stored) bool {
		item := m.item()
		if !f.match(item) {
			return true
		}
		last, err := a.store.last(ctx, m.endpoint, m.id)
		if err != nil {
			yield(Item{}, fmt.Errorf("list dead actions: %w", err))
			return false
		}
		// A Retry that was cut off has left the letter of an action that lives again.
		return last != nil && last.Redrive == m.seq || yield(item, nil)
	}, yield)
}

// scan reads the messages of a subject one by one up to the end that the stream has now: ordered consumers are refused
// on a work queue. False says that the caller has had enough or that an error was yielded.
func (a *Archive) scan(ctx context.Context, stream jetstream.Stream, subject string, each func(*stored) bool, yield func(Item, error) bool) bool {
	info, err := stream.Info(ctx)
	for seq := uint64(1); err == nil && seq <= info.State.LastSeq; {
		var raw *jetstream.RawStreamMsg
		raw, err = stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && raw.Sequence > info.State.LastSeq) {
			return true
		}
		if err == nil {
			if !each(a.store.decode(raw.Subject, raw.Header, raw.Data, raw.Sequence)) {
				return false
			}
			seq = raw.Sequence + 1
		}
	}
	if err != nil {
		yield(Item{}, fmt.Errorf("list actions: %w", err))
	}
	return err == nil
}

func token(name string) string {
	if name == "" {
		return "*"
	}
	return name
}
