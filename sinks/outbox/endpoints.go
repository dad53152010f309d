package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SetEndpoints makes the lanes match the given endpoints: it starts what is new, gives changed settings to what is
// there (from the next attempt on), and stops pulling for what is no longer named, whose actions stay stored. Attempts
// under way finish with the sink that they began with.
//
// A wrong endpoint changes nothing. A lane that can't be opened doesn't keep the others from it: the error names all
// that failed, and calling SetEndpoints again tries them again.
func (o *Outbox) SetEndpoints(ctx context.Context, endpoints []Endpoint) error {
	wanted, err := index(endpoints, o.cfg)
	if err != nil {
		return fmt.Errorf("set endpoints: %w", err)
	}
	o.reload.Lock()
	defer o.reload.Unlock()
	if o.running.Err() != nil {
		return fmt.Errorf("set endpoints: %w", ErrStopped)
	}
	for _, l := range o.snapshot() {
		if _, ok := wanted[l.name]; !ok {
			o.removeLane(l)
		}
	}
	var errs []error
	for _, e := range wanted {
		errs = append(errs, o.setEndpoint(ctx, e))
	}
	return errors.Join(errs...)
}

func (o *Outbox) setEndpoint(ctx context.Context, e Endpoint) error {
	if l := o.lane(e.Name); l != nil {
		l.configure(e)
		return nil
	}
	l, err := o.openLane(ctx, e)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.lanes[e.Name] = l
	o.mu.Unlock()
	o.applyMark(l) // one that came between the watcher's look at the lanes and this
	l.start()
	return nil
}

func (o *Outbox) removeLane(l *lane) {
	l.stop()
	o.mu.Lock()
	delete(o.lanes, l.name)
	o.mu.Unlock()
	o.metrics.breakerOpen.DeleteLabelValues(l.name)
}

// lane returns the lane of an endpoint, nil if there is none.
func (o *Outbox) lane(endpoint string) *lane {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lanes[endpoint]
}

// snapshot returns the lanes as they are now.
func (o *Outbox) snapshot() []*lane {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.lanes))
}

// index checks all endpoints and fills their defaults.
func index(endpoints []Endpoint, cfg Config) (map[string]Endpoint, error) {
	wanted := make(map[string]Endpoint, len(endpoints))
	var errs []error
	for _, e := range endpoints {
		errs = append(errs, e.validate())
		if _, twice := wanted[e.Name]; twice {
			errs = append(errs, fmt.Errorf("endpoint %s: it is there twice", e.Name))
		}
		wanted[e.Name] = e.withDefaults(cfg)
	}
	return wanted, errors.Join(errs...)
}

// firstDelay is what the endpoint's schedule has before the first attempt; 0 for an endpoint that has no lane here.
func (o *Outbox) firstDelay(endpoint string) time.Duration {
	if l := o.lane(endpoint); l != nil {
		return l.endpoint.Load().Retry[0]
	}
	return 0
}
