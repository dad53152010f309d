package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/sinks"
)

// queues keep the order of deliveries that have one: of an endpoint, those with the same Delivery.Order. An entry under
// <prefix>.order.<endpoint>.<order>.<action> is made before the action is enqueued, and removed when it is settled. The
// first entry of an order is the action whose turn it is; the others wait.
//
// An entry that was left behind (its worker died in between) is known by its action, which is settled, and removed by
// whoever finds it in the way.
type queues struct {
	names
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Times of those whose turn it isn't.
const (
	turnAgain  = 250 * time.Millisecond // before they look again, while the first is being delivered
	turnUnborn = 10 * time.Minute       // after which an entry whose action was never enqueued is in nobody's way
)

func (n names) orderStream() string { return n.stream("ORDER") }

// place is the subject of an entry. "*" stands for any action.
func (n names) place(endpoint, order, id string) string {
	return n.prefix + ".order." + endpoint + "." + order + "." + id
}

func orderConfig(cfg Config) jetstream.StreamConfig {
	n := names{cfg.Prefix}
	return jetstream.StreamConfig{
		Name: n.orderStream(), Subjects: []string{n.prefix + ".order.>"}, Storage: cfg.Storage, Replicas: cfg.Replicas,
		Description: "dgworker: the order of actions whose endpoint has one",
	}
}

func openQueues(ctx context.Context, cfg Config) (*queues, error) {
	stream, err := openStream(ctx, cfg.JetStream, orderConfig(cfg))
	if err != nil {
		return nil, err
	}
	return &queues{names: names{cfg.Prefix}, js: cfg.JetStream, stream: stream}, nil
}

// join makes the entry of a delivery, once.
func (q *queues) join(ctx context.Context, d sinks.Delivery) error {
	place := q.place(d.Endpoint, d.Order, d.ID)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		_, err := q.js.PublishMsg(ctx, nats.NewMsg(place), jetstream.WithExpectLastSequencePerSubject(0))
		if !refused(err) {
			return err
		}
		if _, err := q.stream.GetLastMsgForSubject(ctx, place); !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		// With replicas a refusal can also mean that an earlier try is under way, and may come to nothing: ask again.
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// leave removes the entry of a delivery, if it is there.
func (q *queues) leave(ctx context.Context, d sinks.Delivery) error {
	entry, err := q.stream.GetLastMsgForSubject(ctx, q.place(d.Endpoint, d.Order, d.ID))
	if err != nil {
		return ignoreMissing(err)
	}
	return q.remove(ctx, entry)
}

func (q *queues) remove(ctx context.Context, entry *jetstream.RawStreamMsg) error {
	err := q.stream.DeleteMsg(ctx, entry.Sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil // somebody else was faster
	}
	return ignoreMissing(err)
}

// turn says how long a delivery has to wait until it looks again whether it is its turn; 0 if it is. One that has no entry
// (it was redriven: its turn is over) waits for nobody.
func (o *Outbox) turn(ctx context.Context, d sinks.Delivery) (time.Duration, error) {
	q := o.queues
	if _, err := q.stream.GetLastMsgForSubject(ctx, q.place(d.Endpoint, d.Order, d.ID)); err != nil {
		return 0, ignoreMissing(err)
	}
	for {
		first, err := q.stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(q.place(d.Endpoint, d.Order, "*")))
		if err != nil {
			return 0, ignoreMissing(err)
		}
		id := first.Subject[len(q.place(d.Endpoint, d.Order, "")):]
		if id == d.ID {
			return 0, nil
		}
		wait, err := o.waitFor(ctx, d.Endpoint, id, first.Time)
		if wait > 0 || err != nil {
			return wait, err
		}
		if err := q.remove(ctx, first); err != nil {
			return 0, err
		}
	}
}

// waitFor says how long to wait for the action that is first; 0 if it is settled, and its entry was left behind.
func (o *Outbox) waitFor(ctx context.Context, endpoint, id string, since time.Time) (time.Duration, error) {
	first, err := o.store.last(ctx, endpoint, id)
	switch {
	case err != nil:
		return 0, err
	case first == nil && time.Since(since) > turnUnborn, first != nil && first.state == Done:
		return 0, nil
	case first != nil && first.state == Wait:
		return max(time.Until(first.Next), 0) + turnAgain, nil
	}
	return turnAgain, nil
}

// queued puts an action whose turn it isn't off, and says whether it did. That is no attempt.
func (l *lane) queued(held *stored) (bool, error) {
	if held.Delivery.Order == "" {
		return false, nil
	}
	ctx, cancel := l.o.settling()
	defer cancel()
	wait, err := l.o.turn(ctx, held.Delivery)
	if err != nil || wait == 0 {
		return false, err
	}
	return true, l.o.store.toWait(ctx, held.record, held.seq, time.Now().Add(wait))
}

// unqueue lets the next of the order have its turn. An entry that stays is found by whoever comes next.
func (l *lane) unqueue(d sinks.Delivery) {
	if d.Order == "" {
		return
	}
	ctx, cancel := l.o.settling()
	defer cancel()
	if err := l.o.queues.leave(ctx, d); err != nil {
		l.log.Debug("entry of an order is left behind", zap.String("action", d.ID), zap.Error(err))
	}
}
