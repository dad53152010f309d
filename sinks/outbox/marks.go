package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Disablement says why an endpoint takes no more actions.
type Disablement struct {
	Endpoint string    `json:"endpoint"`
	Reason   string    `json:"reason"`
	Action   string    `json:"action"` // the id of the action that found out
	At       time.Time `json:"at"`
}

// heldPrefix begins the keys of pauses. Endpoint names hold no dot, so they can't meet the keys of disabled endpoints.
const heldPrefix = "held."

// marks is what all workers know about endpoints: a KV bucket with a key per disabled endpoint, and one per pause that
// a destination asked for. The outbox keeps a copy by watching it.
type marks struct {
	kv jetstream.KeyValue

	mu       sync.Mutex
	disabled map[string]bool
	held     map[string]time.Time
}

// ensureMarks opens the bucket, creating it if it is missing.
func ensureMarks(ctx context.Context, cfg Config) (*marks, error) {
	bucket := names{cfg.Prefix}.endpointsBucket()
	kv, err := cfg.JetStream.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = cfg.JetStream.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucket, Description: "dgworker: disabled and paused endpoints", Storage: cfg.Storage, Replicas: cfg.Replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) { // another worker was faster, with settings of its own
			kv, err = cfg.JetStream.KeyValue(ctx, bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	return &marks{kv: kv, disabled: map[string]bool{}, held: map[string]time.Time{}}, nil
}

func (m *marks) disable(ctx context.Context, d Disablement) error {
	value, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = m.kv.Put(ctx, d.Endpoint, value)
	return err
}

func (m *marks) hold(ctx context.Context, endpoint string, until time.Time) error {
	value, err := until.UTC().MarshalText()
	if err != nil {
		return err
	}
	_, err = m.kv.Put(ctx, heldPrefix+endpoint, value)
	return err
}

// note takes one change of the bucket into the copy and returns the endpoint that it is about.
func (m *marks) note(entry jetstream.KeyValueEntry) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	there := entry.Operation() == jetstream.KeyValuePut
	endpoint, isHold := strings.CutPrefix(entry.Key(), heldPrefix)
	if !isHold {
		m.disabled[endpoint] = there
		return endpoint
	}
	var until time.Time // stays zero, which ends a pause, where the key was deleted or holds no time
	if there {
		_ = until.UnmarshalText(entry.Value())
	}
	m.held[endpoint] = until
	return endpoint
}

func (m *marks) of(endpoint string) (disabled bool, held time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disabled[endpoint], m.held[endpoint]
}

// watch follows the bucket, and returns when its present content is known: no lane may start before that.
func (o *Outbox) watch(ctx context.Context) error {
	watcher, err := o.marks.kv.WatchAll(o.running)
	if err != nil {
		return fmt.Errorf("watch disabled endpoints: %w", err)
	}
	known := make(chan struct{})
	o.watcher.Go(func() { o.follow(watcher, known) })
	select {
	case <-known:
		return nil
	case <-ctx.Done():
		o.halt()
		o.watcher.Wait()
		return fmt.Errorf("watch disabled endpoints: %w", context.Cause(ctx))
	}
}

func (o *Outbox) follow(watcher jetstream.KeyWatcher, known chan struct{}) {
	defer func() {
		// Stop asks NATS to remove the watcher's consumer, and would wait seconds for a NATS that is away. Then the
		// server removes it, and the subscription ends with its connection.
		if o.cfg.JetStream.Conn().IsConnected() {
			_ = watcher.Stop()
		}
	}()
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return
			}
			if entry == nil { // the end of what was there when the watch began
				close(known)
				continue
			}
			if l := o.lane(o.marks.note(entry)); l != nil {
				o.applyMark(l)
			}
		case <-o.running.Done():
			return
		}
	}
}

// applyMark closes or opens a lane's gate by what the bucket says about its endpoint.
func (o *Outbox) applyMark(l *lane) {
	disabled, held := o.marks.of(l.name)
	l.gate.disable(disabled)
	if held.IsZero() || time.Until(held) > 0 {
		l.gate.hold(held)
	}
	if disabled {
		l.log.Warn("endpoint is disabled: its actions wait until it is enabled again", zap.String("lane", "parked"))
	}
}

// Disabled lists the endpoints that a destination's 410 has disabled.
func (o *Outbox) Disabled(ctx context.Context) ([]Disablement, error) { return o.marks.list(ctx) }

// Enable lets an endpoint take actions again, in all workers, and ends a pause that it asked for. ErrNotFound says that
// it wasn't disabled.
func (o *Outbox) Enable(ctx context.Context, endpoint string) error {
	return o.marks.enable(ctx, endpoint)
}

func (m *marks) list(ctx context.Context) ([]Disablement, error) {
	watcher, err := m.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list disabled endpoints: %w", err)
	}
	defer func() { _ = watcher.Stop() }()
	var list []Disablement
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil {
				return list, nil
			}
			if d, ok := disablement(entry); ok {
				list = append(list, d)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("list disabled endpoints: %w", context.Cause(ctx))
		}
	}
}

// disablement reads an entry. One that somebody wrote by hand, with whatever in it, disables as well.
func disablement(entry jetstream.KeyValueEntry) (Disablement, bool) {
	if strings.HasPrefix(entry.Key(), heldPrefix) {
		return Disablement{}, false
	}
	d := Disablement{At: entry.Created()}
	if err := json.Unmarshal(entry.Value(), &d); err != nil {
		d.Reason = string(entry.Value())
	}
	d.Endpoint = entry.Key()
	return d, true
}

func (m *marks) enable(ctx context.Context, endpoint string) error {
	_, err := m.kv.Get(ctx, endpoint)
	_, heldErr := m.kv.Get(ctx, heldPrefix+endpoint)
	if errors.Is(err, jetstream.ErrKeyNotFound) && errors.Is(heldErr, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("enable endpoint %s: it is not disabled: %w", endpoint, ErrNotFound)
	}
	err = errors.Join(m.kv.Purge(ctx, endpoint), m.kv.Purge(ctx, heldPrefix+endpoint))
	if err != nil {
		return fmt.Errorf("enable endpoint %s: %w", endpoint, err)
	}
	return nil
}
