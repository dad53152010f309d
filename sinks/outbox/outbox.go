package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"dgworker/sinks"
)

// Outbox enqueues actions and carries them to their sinks. It is safe for concurrent use.
type Outbox struct {
	cfg     Config
	store   *store
	marks   *marks
	queues  *queues
	metrics *metrics

	running    context.Context // ends when Stop begins: pullers and the watcher
	halt       context.CancelFunc
	attempting context.Context // ends when Stop has no more time: attempts and settlements
	abort      context.CancelCauseFunc

	reload   sync.Mutex // one SetEndpoints at a time
	mu       sync.Mutex // guards lanes, and is held for no longer than a look at it
	lanes    map[string]*lane
	attempts sync.WaitGroup
	watcher  sync.WaitGroup
	stop     sync.Once
	idle     chan struct{} // closed when everything that Stop waits for has ended
}

// New opens the outbox, creating its stream and bucket where they are missing. The stream of dead letters must exist.
// ctx bounds New alone. Nothing is delivered before SetEndpoints.
func New(ctx context.Context, cfg Config) (*Outbox, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("check outbox settings: %w", err)
	}
	n := names{cfg.Prefix}
	actions, err := ensureStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	letters, err := openDead(ctx, cfg.JetStream, n)
	if err != nil {
		return nil, err
	}
	marks, err := ensureMarks(ctx, cfg)
	if err != nil {
		return nil, err
	}
	queues, err := openQueues(ctx, cfg)
	if err != nil {
		return nil, err
	}
	o := &Outbox{
		cfg: cfg, marks: marks, queues: queues, lanes: map[string]*lane{}, idle: make(chan struct{}),
		store: &store{names: n, js: cfg.JetStream, actions: actions, letters: letters, retain: cfg.Retain},
	}
	o.running, o.halt = context.WithCancel(context.Background())
	o.attempting, o.abort = context.WithCancelCause(context.Background())
	if err := o.start(ctx); err != nil {
		o.halt()
		o.abort(err)
		return nil, err
	}
	return o, nil
}

func (o *Outbox) start(ctx context.Context) (err error) {
	if o.metrics, err = newMetrics(o.cfg.Metrics, o.pending); err != nil {
		return err
	}
	if err := o.watch(ctx); err != nil {
		o.metrics.unregister()
		return err
	}
	return nil
}

// Enqueue stores a delivery once: a delivery whose id is known, whatever has become of it, is left alone, and that is
// no error. It is on disk when Enqueue returns nil; after an error, enqueue it again.
//
// Errors: ErrTooLarge, ErrStopped, an invalid id or endpoint name (none of which pass), or NATS's own.
func (o *Outbox) Enqueue(ctx context.Context, d sinks.Delivery) error {
	if err := o.enqueue(ctx, d); err != nil {
		return fmt.Errorf("enqueue action %s: %w", d.ID, err)
	}
	return nil
}

func (o *Outbox) enqueue(ctx context.Context, d sinks.Delivery) error {
	if o.running.Err() != nil {
		return ErrStopped
	}
	if !namePattern.MatchString(d.ID) || !namePattern.MatchString(d.Endpoint) {
		return fmt.Errorf("id %q or endpoint %q: want 1 to 64 of [A-Za-z0-9_-]", d.ID, d.Endpoint)
	}
	rec := record{Delivery: d}
	if _, err := rec.encode(o.store.limit() - o.cfg.Reserve); err != nil {
		return err
	}
	if d.Order != "" {
		if err := o.queues.join(ctx, d); err != nil {
			return err
		}
	}
	var err error
	if delay := o.firstDelay(d.Endpoint); delay > 0 {
		err = o.store.toWait(ctx, rec, 0, time.Now().Add(delay))
	} else {
		err = o.store.toTodo(ctx, rec, 0)
	}
	if errors.Is(err, errStale) { // there is something under this id already
		return nil
	}
	return err
}

// settling is the context of one publish of a settlement. It outlives the attempts, so that what they know is recorded.
func (o *Outbox) settling() (context.Context, context.CancelFunc) {
	timeout := o.cfg.SettleTimeout
	if o.attempting.Err() != nil {
		timeout = min(timeout, o.cfg.Grace)
	}
	return context.WithTimeout(context.WithoutCancel(o.attempting), timeout)
}

// Stop stops taking actions and waits until the attempts under way are settled. When ctx ends, the rest is cut off and
// given back, and the error says so. Stop may be called again, and waits for the same end.
func (o *Outbox) Stop(ctx context.Context) error {
	o.stop.Do(func() {
		o.halt()
		go o.finish()
	})
	select {
	case <-o.idle:
		return nil
	case <-ctx.Done():
	}
	o.abort(fmt.Errorf("%w: %w", ErrStopped, context.Cause(ctx)))
	select {
	case <-o.idle:
	case <-time.After(2 * o.cfg.Grace):
		o.cfg.Log.Error("a sink doesn't return although its context has ended", zap.Duration("waited", 2*o.cfg.Grace))
	}
	return fmt.Errorf("stop outbox: attempts were cut off, their actions come again: %w", context.Cause(ctx))
}

// finish waits for all goroutines of the outbox, in the order in which they end.
func (o *Outbox) finish() {
	defer close(o.idle)
	o.reload.Lock() // a SetEndpoints under way may still start a lane, and none does after it
	defer o.reload.Unlock()
	for _, l := range o.snapshot() {
		l.stop()
	}
	o.watcher.Wait()
	o.attempts.Wait()
	o.abort(ErrStopped)
	o.metrics.unregister()
}
