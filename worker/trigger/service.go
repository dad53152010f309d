package trigger

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"dgworker/rules"
)

// Service runs the triggers of the rules in use until Stop.
type Service struct {
	Config
	events *prometheus.CounterVec

	taking   context.Context // ends first: no more events are taken
	stopTake context.CancelFunc
	handling context.Context // ends when the events at hand must be given back
	giveBack context.CancelFunc
	sweeping sync.WaitGroup

	use     sync.Mutex // one Use at a time
	mu      sync.Mutex // guards running
	running map[string]*source
}

// Start returns a Service that has no triggers yet.
func Start(c Config) (*Service, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	s := &Service{Config: c, events: newMetrics(c.Metrics), running: map[string]*source{}}
	s.taking, s.stopTake = context.WithCancel(context.Background())
	s.handling, s.giveBack = context.WithCancel(context.Background())
	s.sweeping.Go(s.sweep)
	return s, nil
}

// Use makes the triggers of set those that run. One that is the same but for what it makes of an event goes on where it
// is. When Use returns, each trigger listens, or has logged why it can't and tries again. The error is Check's: then
// nothing has changed.
func (s *Service) Use(ctx context.Context, set *rules.Set) error {
	if err := Check(set, s.Queue.Prefix); err != nil {
		return err
	}
	s.use.Lock()
	defer s.use.Unlock()
	next, begun, gone := s.arrange(set)
	for _, src := range gone {
		src.stop()
	}
	s.mu.Lock()
	s.running = next
	s.mu.Unlock()
	for _, src := range begun {
		src.start(ctx)
	}
	for name, src := range gone {
		if src.scheduled() && !next[name].scheduled() {
			s.retire(ctx, name)
		}
	}
	return nil
}

// arrange sorts the triggers of set into those that run already, which take over their new form, those that begin, and
// those that end.
func (s *Service) arrange(set *rules.Set) (next map[string]*source, begun []*source, gone map[string]*source) {
	next, gone = map[string]*source{}, map[string]*source{}
	old := s.snapshot()
	for _, t := range set.Triggers() {
		src := old[t.Name]
		if src != nil && sameSource(src.trigger.Load().Trigger, t) {
			src.trigger.Store(&generation{t, set.Version()})
			next[t.Name] = src
			continue
		}
		src = newSource(s, &generation{t, set.Version()})
		next[t.Name] = src
		begun = append(begun, src)
	}
	for name, src := range old {
		if next[name] != src {
			gone[name] = src
		}
	}
	return next, begun, gone
}

// sameSource says whether two forms of a trigger take the same events in the same way.
func sameSource(a, b *rules.Trigger) bool {
	return a.Subject == b.Subject && a.StartAll == b.StartAll && a.Start.Equal(b.Start) && a.NamesVisitor() == b.NamesVisitor() &&
		a.Scheduled() == b.Scheduled() && (!a.Scheduled() || a.Schedule() == b.Schedule() && a.Timezone == b.Timezone)
}

func (s *Service) snapshot() map[string]*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// Stop takes no more events, lets those at hand become prompts until ctx ends, and gives the rest back. Calling it again
// is safe.
func (s *Service) Stop(ctx context.Context) {
	s.stopTake()
	defer context.AfterFunc(ctx, s.giveBack)()
	for _, src := range s.snapshot() {
		src.stop()
	}
	s.giveBack()
	s.sweeping.Wait()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Service) trouble(t *generation, what string, err error) {
	s.Log.Error(what+": trying again", zap.String("trigger", t.Name), zap.Error(err))
}
