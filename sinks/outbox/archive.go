package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

// Archive reads what has become of actions and redrives the dead ones. It needs no running lanes: the command line uses
// it against a worker's NATS.
type Archive struct {
	store *store
	marks *marks // nil where no worker has made the bucket yet
}

// Item is an action as it stands.
type Item struct {
	Delivery sinks.Delivery `json:"delivery"` // of a delivered one without body, headers and query
	State    State          `json:"state"`
	Attempts []Attempt      `json:"attempts,omitempty"`
	Next     time.Time      `json:"next,omitzero"` // Wait: when the next attempt is
	Reason   string         `json:"reason,omitempty"`
	At       time.Time      `json:"at,omitzero"` // Done and Dead: when it was settled
}

// Class is the verdict of the latest attempt, "" if there was none.
func (i Item) Class() sinks.Class {
	return record{Attempts: i.Attempts}.last().Class
}

// OpenArchive opens the streams that a worker with this prefix ("" is the default) has made.
func OpenArchive(ctx context.Context, js jetstream.JetStream, prefix string) (*Archive, error) {
	cfg := Config{JetStream: js, Prefix: prefix}.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	n := names{cfg.Prefix}
	actions, err := js.Stream(ctx, n.actionsStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %s of actions, which a worker creates: %w", n.actionsStream(), err)
	}
	letters, err := openDead(ctx, js, n)
	if err != nil {
		return nil, err
	}
	a := &Archive{store: &store{names: n, js: js, actions: actions, letters: letters, retain: cfg.Retain}}
	kv, err := js.KeyValue(ctx, n.endpointsBucket())
	if err == nil {
		a.marks = &marks{kv: kv}
	} else if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("open bucket %s: %w", n.endpointsBucket(), err)
	}
	return a, nil
}

// Archive returns the archive of the outbox's own streams.
func (o *Outbox) Archive() *Archive { return &Archive{store: o.store, marks: o.marks} }

// Disabled lists the endpoints that a destination's 410 has disabled.
func (a *Archive) Disabled(ctx context.Context) ([]Disablement, error) {
	if a.marks == nil {
		return nil, nil
	}
	return a.marks.list(ctx)
}

// Enable lets an endpoint take actions again, in all workers, and ends a pause that it asked for. ErrNotFound says that
// it wasn't disabled.
func (a *Archive) Enable(ctx context.Context, endpoint string) error {
	if a.marks == nil {
		return fmt.Errorf("enable endpoint %s: it is not disabled: %w", endpoint, ErrNotFound)
	}
	return a.marks.enable(ctx, endpoint)
}

// Get returns an action by its id, with its body unless it was delivered. A dead one comes from the dead letters; one
// whose letter was dropped still shows as dead, without its body, until its marker expires. ErrNotFound says that
// there is none, or no longer.
func (a *Archive) Get(ctx context.Context, id string) (Item, error) {
	item, err := a.get(ctx, id)
	if err != nil {
		return Item{}, fmt.Errorf("get action %s: %w", id, err)
	}
	return item, nil
}

func (a *Archive) get(ctx context.Context, id string) (Item, error) {
	if !namePattern.MatchString(id) {
		return Item{}, ErrNotFound
	}
	last, err := a.store.last(ctx, "*", id)
	if err != nil {
		return Item{}, err
	}
	if last != nil && last.item().State != Dead {
		return last.item(), nil
	}
	letter, err := a.store.letter(ctx, "*", id)
	switch {
	case err != nil:
		return Item{}, err
	case letter != nil:
		return letter.item(), nil
	case last != nil:
		return last.item(), nil
	}
	return Item{}, ErrNotFound
}

// DeadShow returns a dead letter by its action's id, with all that would be sent again.
func (a *Archive) DeadShow(ctx context.Context, id string) (Item, error) {
	letter, err := a.findLetter(ctx, id)
	if err != nil {
		return Item{}, fmt.Errorf("show dead action %s: %w", id, err)
	}
	return letter.item(), nil
}

func (a *Archive) findLetter(ctx context.Context, id string) (*stored, error) {
	if !namePattern.MatchString(id) {
		return nil, ErrNotFound
	}
	letter, err := a.store.letter(ctx, "*", id)
	if err == nil && letter == nil {
		err = ErrNotFound
	}
	return letter, err
}

func (m *stored) item() Item {
	item := Item{Delivery: m.Delivery, State: m.state, Attempts: m.Attempts, Reason: m.Reason, At: m.At}
	if m.state == Wait {
		item.Next = m.Next
	}
	if m.state == Done && m.Outcome == Dead {
		item.State = Dead
	}
	return item
}
