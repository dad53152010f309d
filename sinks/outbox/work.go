package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/sinks"
)

// work makes one attempt at an action and settles it. The action is acknowledged only after its next state is stored;
// where that can't be had, it stays what it is and comes again.
func (l *lane) work(msg jetstream.Msg, p *pass) {
	e := *l.endpoint.Load()
	defer l.heartbeat(msg, e.Timeout)()
	meta, err := msg.Metadata()
	if err != nil {
		l.log.Error("action has no metadata of a stream", zap.Error(err))
		return
	}
	held := l.o.store.decode(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream)
	settled, err := l.leftover(held, meta)
	if err == nil && !settled {
		settled, err = l.queued(held)
	}
	if err == nil && !settled {
		err = l.attempt(held, e, p)
	}
	l.conclude(msg, held, err)
}

// conclude acknowledges what was settled and gives back what wasn't.
func (l *lane) conclude(msg jetstream.Msg, held *stored, err error) {
	switch {
	case err == nil:
		l.logUnsent(msg.Ack())
	case errors.Is(err, errStale):
		// Another worker holds it or has settled it: an ack from here would still count, so none is sent.
		l.log.Warn("action was overtaken: this worker was away for too long, its result is dropped", zap.String("action", held.id))
	case errors.Is(err, ErrStopped):
		l.log.Info("action is handed back: this worker stops", zap.String("action", held.id))
		<-l.stopped // or NATS could send it to the pull that is just being taken back
		l.logUnsent(msg.Nak())
	default:
		// Not at once: what keeps failing here (a permission, say) must not become a hot loop at the destination.
		l.log.Warn("action is given back", zap.String("action", held.id), zap.Error(err))
		l.logUnsent(msg.NakWithDelay(l.o.cfg.AckWait))
	}
}

// leftover looks at an action that was taken before, by a worker that didn't acknowledge it. True says that it needs no
// attempt: its next state was stored already, or is now. An action that was taken soon after it was enqueued costs no
// look; one that is old gets it even if NATS says that it is the first to take it, for a consumer may have lost that.
func (l *lane) leftover(held *stored, meta *jetstream.MsgMetadata) (bool, error) {
	if held.Reason == reasonForeign {
		l.log.Error("message on an action's subject is no delivery, it becomes a dead letter", zap.String("action", held.id))
		return true, l.bury(held, held.record, reasonForeign)
	}
	if meta.NumDelivered <= 1 && time.Since(meta.Timestamp) < l.o.cfg.AckWait {
		return false, nil
	}
	ctx, cancel := l.o.settling()
	defer cancel()
	s := l.o.store
	last, err := s.last(ctx, held.endpoint, held.id)
	if err != nil || sequence(last) != held.seq {
		return true, err
	}
	letter, err := s.letter(ctx, held.endpoint, held.id)
	if err != nil {
		return false, err
	}
	if letter != nil && letter.todo == held.seq { // cut off between the dead letter and the marker
		return true, s.toDead(ctx, held.record, held.seq, letter.Reason)
	}
	if meta.NumDelivered > uint64(l.o.cfg.MaxDeliveries) {
		return true, l.bury(held, held.record, fmt.Sprintf("taken %d times, and no worker lived to record how it went", meta.NumDelivered-1))
	}
	return false, nil
}

// attempt makes one attempt, logs it and settles it.
func (l *lane) attempt(held *stored, e Endpoint, p *pass) error {
	start := time.Now()
	v := deliver(l.o.attempting, e, held.Delivery)
	took := time.Since(start)
	if l.o.attempting.Err() != nil && v.Class != sinks.Delivered {
		return fmt.Errorf("attempt was cut off: %w", ErrStopped)
	}
	p.tell(v)
	rec := held.logged(start, took, v)
	l.report(rec, took)
	return l.settle(held, rec, e, v)
}

// deliver calls the sink within the endpoint's bound. A sink that panics has failed an attempt, not the worker.
func deliver(ctx context.Context, e Endpoint, d sinks.Delivery) (v sinks.Verdict) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.Timeout, fmt.Errorf("attempt took longer than %v", e.Timeout))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			v = sinks.Verdict{Class: sinks.Retry, Reason: fmt.Sprintf("sink panicked: %v", r), Excerpt: cut(string(debug.Stack()), 4<<10)}
		}
	}()
	return e.Sink.Deliver(ctx, d)
}

// settle stores what follows the verdict.
func (l *lane) settle(held *stored, rec record, e Endpoint, v sinks.Verdict) error {
	if v.Class != sinks.Gone {
		rec.Tries++
	}
	next := decide(v, rec.Tries, e.Retry, e.MaxRetryAfter, spread(e.Jitter))
	if pause := clampRetryAfter(v, e.MaxRetryAfter); pause > 0 && next.step != stepDone {
		l.pause(time.Now().Add(pause))
	}
	switch next.step {
	case stepDone:
		err := l.persist(func(ctx context.Context) error { return l.o.store.toDone(ctx, rec, held.seq, Done, "") })
		l.unqueue(rec.Delivery)
		return err
	case stepDead:
		return l.bury(held, rec, next.reason)
	case stepPark:
		return l.park(held, rec, next.reason)
	}
	return l.again(held, rec, next.delay)
}

func (l *lane) again(held *stored, rec record, delay time.Duration) error {
	at := time.Now().Add(delay)
	return l.persist(func(ctx context.Context) error {
		if delay <= 0 {
			return l.o.store.toTodo(ctx, rec, held.seq)
		}
		return l.o.store.toWait(ctx, rec, held.seq, at)
	})
}

func (l *lane) bury(held *stored, rec record, reason string) error {
	err := l.persist(func(ctx context.Context) error { return l.o.store.toDead(ctx, rec, held.seq, reason) })
	if err == nil {
		l.unqueue(rec.Delivery)
		l.o.metrics.dead.Inc()
		l.log.Warn("action is dead", zap.String("action", held.id), zap.String("rule", rec.Delivery.Rule),
			zap.String("prompt", rec.Delivery.Prompt), zap.String("reason", reason))
	}
	return err
}

// park disables the endpoint for all workers and puts the action back, to wait until somebody enables it again.
func (l *lane) park(held *stored, rec record, reason string) error {
	l.gate.disable(true)
	mark := Disablement{Endpoint: l.name, Reason: reason, Action: held.id, At: time.Now().UTC().Truncate(time.Millisecond)}
	l.log.Error("endpoint is gone: it is disabled and its actions wait until it is enabled again",
		zap.String("action", held.id), zap.String("reason", reason))
	return l.persist(func(ctx context.Context) error {
		if err := l.o.marks.disable(ctx, mark); err != nil {
			return err
		}
		return l.o.store.toTodo(ctx, rec, held.seq)
	})
}

// pause holds the whole endpoint, here at once and in the other workers as soon as they hear of it.
func (l *lane) pause(until time.Time) {
	l.gate.hold(until)
	ctx, cancel := l.o.settling()
	defer cancel()
	if err := l.o.marks.hold(ctx, l.name, until); err != nil {
		l.log.Warn("pause of the endpoint isn't known to the other workers", zap.Error(err))
	}
}

// persist repeats a step until it is stored, refused, or the outbox has no more time. An attempt was made and its result
// is known only here: giving up while NATS is away for a moment would make the destination see it twice.
func (l *lane) persist(step func(context.Context) error) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		ctx, cancel := l.o.settling()
		err := step(ctx)
		cancel()
		if err == nil || errors.Is(err, errStale) || errors.Is(err, ErrTooLarge) {
			return err
		}
		if sleep(l.o.attempting, pause) != nil {
			return fmt.Errorf("store the result: %w", err)
		}
	}
}
