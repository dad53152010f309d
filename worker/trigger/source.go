package trigger

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
)

// source is where the events of one trigger come from: the streams that hold its subject, and for what none holds a queue
// group.
type source struct {
	s       *Service
	trigger atomic.Pointer[generation]
	slots   chan struct{} // one for each event at hand

	ctx     context.Context // ends first: nothing more is taken
	cancel  context.CancelFunc
	loop    sync.WaitGroup // looks for streams
	readers sync.WaitGroup
	events  sync.WaitGroup // at hand

	// Of start, and then of the loop alone.
	streams map[string]*reader
	cron    jetstream.Stream         // of a scheduled trigger, once it is known to be as it must be
	written bool                     // the schedule is known to be there
	sub     *nats.Subscription       // of the queue group, nil for none
	held    atomic.Pointer[[]string] // subjects that streams hold
	warned  string                   // what was said about events that no stream holds
	closed  chan struct{}            // once the subscription has ended
}

// afterTrouble is the pause before the next try of what failed. It is doubled each time, up to Config.Refresh.
const afterTrouble = time.Second

func newSource(s *Service, g *generation) *source {
	n := s.Concurrency
	if g.NamesVisitor() {
		n = 1
	}
	src := &source{s: s, slots: make(chan struct{}, n), streams: map[string]*reader{}}
	src.trigger.Store(g)
	src.held.Store(new([]string))
	src.ctx, src.cancel = context.WithCancel(s.taking)
	return src
}

// scheduled says whether src is there and goes by the clock.
func (src *source) scheduled() bool { return src != nil && src.trigger.Load().Scheduled() }

// start listens, and looks for streams that come and go until stop.
func (src *source) start(ctx context.Context) {
	err := src.connect(ctx)
	src.report(err)
	src.loop.Go(func() {
		for retry := afterTrouble; ; {
			wait := src.s.Refresh
			if err != nil {
				wait, retry = min(retry, wait), 2*retry
			} else {
				retry = afterTrouble
			}
			if pause(src.ctx, wait) != nil {
				return
			}
			if err = src.connect(src.ctx); src.ctx.Err() == nil {
				src.report(err)
			}
		}
	})
}

func (src *source) report(err error) {
	if err != nil {
		src.s.trouble(src.trigger.Load(), "a trigger can't be listened for", err)
	}
}

// stop takes nothing more, and waits until what was taken is stored or given back.
func (src *source) stop() {
	src.cancel()
	src.loop.Wait()
	if src.sub != nil {
		_ = src.sub.Drain() // an error means that the connection is gone, and the subscription with it
		select {
		case <-src.closed:
		case <-src.s.handling.Done():
		}
	}
	src.readers.Wait()
	src.events.Wait()
}

// connect brings the readers and the subscription into line with the streams that there are.
func (src *source) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, src.s.Queue.Publish)
	defer cancel()
	t := src.trigger.Load()
	if t.Scheduled() {
		return src.connectSchedule(ctx, t)
	}
	found, err := src.s.find(ctx, t.Subject)
	if err != nil {
		return err
	}
	// Consumers first: between the two, an event is rather taken twice than not at all.
	var errs []error
	for _, f := range found {
		errs = append(errs, src.read(ctx, f))
	}
	for name, r := range src.streams {
		if !holds(found, name) {
			r.cancel()
			delete(src.streams, name)
		}
	}
	src.held.Store(subjectsOf(found))
	if !covered(found, t.Subject) {
		errs = append(errs, src.subscribe(ctx, t, found))
	}
	return errors.Join(errs...)
}

// subscribe joins the queue group for what no stream holds. It stays when a stream holds all, and ignores it.
func (src *source) subscribe(ctx context.Context, t *generation, found []holding) error {
	src.warn(t, found)
	if src.sub != nil && src.sub.IsValid() {
		return nil
	}
	conn, closed := src.s.Queue.Conn, make(chan struct{})
	sub, err := conn.QueueSubscribe(t.Subject, durable(src.s.Queue.Prefix, t.Name), src.heard)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", t.Subject, err)
	}
	sub.SetClosedHandler(func(string) { close(closed) })
	src.sub, src.closed = sub, closed
	return conn.FlushWithContext(ctx)
}

func (src *source) warn(t *generation, found []holding) {
	what := "no stream holds a trigger's subject: its events are at most once"
	if len(found) > 0 {
		what = "streams hold only a part of a trigger's subject: other events are at most once"
	}
	if what == src.warned {
		return
	}
	src.warned = what
	src.s.Log.Warn(what, zap.String("trigger", t.Name), zap.String("subject", t.Subject), zap.Strings("held", *subjectsOf(found)))
}

// heard takes an event that came by the queue group.
func (src *source) heard(m *nats.Msg) {
	if matchesAny(m.Subject, *src.held.Load()) {
		return // its stream's consumer brings it
	}
	e := &event{subject: m.Subject, header: m.Header, payload: m.Data, at: time.Now()}
	src.handle(func(ctx context.Context) {
		if err := src.s.take(ctx, src.trigger.Load(), e); err != nil {
			src.s.Log.Error("event is lost: no stream holds it, and its prompt could not be stored before the worker stopped",
				zap.String("trigger", src.trigger.Load().Name), zap.String("subject", e.subject), zap.Error(err))
		}
	})
}

// handle runs do as soon as there is a slot, on a goroutine of its own where there are several.
func (src *source) handle(do func(context.Context)) {
	src.slots <- struct{}{}
	run := func() {
		defer func() { <-src.slots }()
		do(src.s.handling)
	}
	if cap(src.slots) == 1 {
		run()
		return
	}
	src.events.Go(run)
}

// took takes an event that came from a stream, and settles it.
func (src *source) took(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		src.s.Log.Error("message without metadata: left alone", zap.Error(err))
		return
	}
	e := &event{
		subject: m.Subject(), header: m.Headers(), payload: m.Data(), at: meta.Timestamp, stream: meta.Stream, sequence: meta.Sequence.Stream,
	}
	defer keepAlive(m, src.s.Queue.AckWait/3)()
	settle := m.Ack
	if err := src.s.take(src.s.handling, src.trigger.Load(), e); err != nil {
		settle = m.Nak
	}
	if err := settle(); err != nil {
		src.s.Log.Warn("event could not be settled: it will come again", zap.String("trigger", src.trigger.Load().Name), zap.Error(err))
	}
}

// keepAlive tells NATS that the message is being worked on, until stop.
func keepAlive(m jetstream.Msg, every time.Duration) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = m.InProgress() // what comes again for that makes the same prompt
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
