package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// lane carries the actions of one endpoint: a durable consumer, a puller, and as many attempts as there are slots.
type lane struct {
	o        *Outbox
	name     string
	log      *zap.Logger
	gate     *gate
	limiter  *rate.Limiter
	endpoint atomic.Pointer[Endpoint] // replaced by a reload, read once an attempt
	consumer atomic.Pointer[jetstream.Consumer]

	mu   sync.Mutex
	iter jetstream.MessagesContext // nil while nothing is pulled

	cancel  context.CancelFunc
	stopped chan struct{}
}

// openLane makes a lane and its consumer. It takes nothing before start.
func (o *Outbox) openLane(ctx context.Context, e Endpoint) (*lane, error) {
	l := &lane{
		o: o, name: e.Name, log: o.cfg.Log.With(zap.String("endpoint", e.Name)),
		limiter: rate.NewLimiter(rate.Inf, 1), stopped: make(chan struct{}),
	}
	open := o.metrics.breakerOpen.WithLabelValues(e.Name)
	l.gate = newGate(e.Breaker, e.Concurrency, l.log, func(isOpen bool) { open.Set(boolGauge(isOpen)) }, l.interrupt)
	l.configure(e)
	if err := l.ensureConsumer(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *lane) start() {
	pulling, cancel := context.WithCancel(l.o.running)
	l.cancel = cancel
	go l.run(pulling)
}

// configure puts an endpoint's settings to use, from the next attempt on. Where its sink is another, what was known of
// the one before doesn't count: whoever has mended an address shall not have to wait for a breaker.
func (l *lane) configure(e Endpoint) {
	old := l.endpoint.Swap(&e)
	l.gate.resize(e.Concurrency)
	if old != nil && old.Sink != e.Sink {
		l.gate.renew(e.Breaker)
	}
	limit := rate.Inf
	if e.Rate > 0 {
		limit = rate.Limit(e.Rate)
	}
	l.limiter.SetLimit(limit)
}

// ensureConsumer creates the durable consumer or brings it up to date. Nobody ever deletes one: a delete that races a
// create loses actions.
func (l *lane) ensureConsumer(ctx context.Context) error {
	c, err := l.o.store.actions.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       l.name,
		Description:   "dgworker: lane of endpoint " + l.name,
		FilterSubject: l.o.store.action(l.name, "*", Todo),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       l.o.cfg.AckWait,
		MaxAckPending: l.o.cfg.MaxAckPending,
		MaxDeliver:    -1,
	})
	if err != nil {
		return fmt.Errorf("open lane of endpoint %s: %w", l.name, err)
	}
	l.consumer.Store(&c)
	return nil
}

// run pulls until ctx ends. What goes wrong with the consumer (NATS away, somebody deleted it) is tried again for ever:
// the actions are safe in their stream.
func (l *lane) run(ctx context.Context) {
	defer close(l.stopped)
	draining, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		l.interrupt()
		_ = sleep(draining, l.o.cfg.Grace) // NATS may be away, and then the pull can't be taken back in order
		giveUp()
	})()
	const shortest = 50 * time.Millisecond
	pause := shortest
	for l.gate.ready(ctx) {
		err := l.pull(ctx, draining)
		if err == nil {
			pause = shortest
			continue
		}
		l.log.Warn("lane can't take actions, trying again", zap.Error(err), zap.Duration("pause", pause))
		if sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, 5*time.Second)
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			_ = l.ensureConsumer(ctx) // a failure shows in the next pull
		}
	}
}

// pull takes actions until the gate closes (nil) or the consumer fails. It asks NATS for one at a time, and only with a
// slot for it in hand, so that a lane never holds an action that it can't start. It waits for a pull to be taken back
// until draining ends: an action sent to a pull that nobody reads would be lost for AckWait.
func (l *lane) pull(ctx, draining context.Context) error {
	iter, err := l.open()
	if err != nil {
		return err
	}
	defer l.close(iter)
	for {
		if l.limiter.Wait(ctx) != nil || !l.gate.ready(ctx) {
			return nil
		}
		msg, err := next(draining, iter)
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) && !errors.Is(err, jetstream.ErrConnectionClosed) || draining.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		l.take(ctx, msg)
	}
}

// nudges are the waits after which next asks again.
var nudges = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}

// next is iter.Next, asked several times. nats.go (v1.55.0) has a race: a Next that follows the message of a pull whose
// sending goroutine hasn't yet noted that it was sent doesn't pull at all, and would wait for the missing heartbeat, 30 s.
// Asking again looks again; where a pull is under way, it costs nothing.
func next(ctx context.Context, iter jetstream.MessagesContext) (jetstream.Msg, error) {
	for _, wait := range nudges {
		msg, err := iter.Next(jetstream.NextMaxWait(wait))
		if !errors.Is(err, nats.ErrTimeout) {
			return msg, err
		}
	}
	return iter.Next(jetstream.NextContext(ctx))
}

func (l *lane) open() (jetstream.MessagesContext, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	iter, err := (*l.consumer.Load()).Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return nil, err
	}
	l.iter = iter
	return iter, nil
}

func (l *lane) close(iter jetstream.MessagesContext) {
	l.mu.Lock()
	defer l.mu.Unlock()
	iter.Stop()
	l.iter = nil
}

// interrupt ends the pull that is waiting. Draining, not stopping: an action that is already on its way here comes out
// of Next, and is given back at once instead of after AckWait.
func (l *lane) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.iter != nil {
		l.iter.Drain()
	}
}

// take starts the attempt of an action, or gives it back if the gate has closed while it was on its way.
func (l *lane) take(ctx context.Context, msg jetstream.Msg) {
	pass, ok := l.gate.enter()
	// The outbox is asked too: a context is done a moment before those that are made from it.
	if !ok || ctx.Err() != nil || l.o.running.Err() != nil {
		if ok {
			pass.release()
		}
		l.logUnsent(msg.Nak())
		return
	}
	l.o.attempts.Add(1)
	go func() {
		defer l.o.attempts.Done()
		defer pass.release()
		l.work(msg, pass)
	}()
}

// logUnsent notes an acknowledgement that couldn't be sent. The action comes again after AckWait, and is recognised.
func (l *lane) logUnsent(err error) {
	if err != nil {
		l.log.Debug("acknowledgement wasn't sent", zap.Error(err))
	}
}

// stop ends the puller and waits for it. Attempts under way go on.
func (l *lane) stop() {
	l.cancel()
	<-l.stopped
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
