package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// StreamConfig is the stream of actions as New creates it. Of cfg, only Prefix, Replicas and Storage matter.
//
// It is a work queue without a maximum age: what wasn't delivered never expires, what was is removed when acknowledged,
// and only the done markers have a time to live. Reads go to the stream's leader (no AllowDirect), since they decide.
func StreamConfig(cfg Config) jetstream.StreamConfig {
	cfg = cfg.withDefaults()
	n := names{cfg.Prefix}
	return jetstream.StreamConfig{
		Name:              n.actionsStream(),
		Description:       "dgworker: actions on their way, and what became of them",
		Subjects:          []string{n.prefix + ".actions.>"},
		Retention:         jetstream.WorkQueuePolicy,
		Discard:           jetstream.DiscardOld, // the server refuses schedules with the other one; without limits nothing is discarded
		Storage:           cfg.Storage,
		Replicas:          cfg.Replicas,
		AllowMsgTTL:       true,
		AllowMsgSchedules: true,
	}
}

// ensureStream creates the stream of actions if it is missing. One that somebody configured otherwise stays as it is:
// the outbox says what differs and goes on, or says why it can't.
func ensureStream(ctx context.Context, cfg Config) (jetstream.Stream, error) {
	want := StreamConfig(cfg)
	stream, err := openStream(ctx, cfg.JetStream, want)
	if err != nil {
		return nil, err
	}
	got := stream.CachedInfo().Config
	if got.Replicas != want.Replicas || got.Storage != want.Storage {
		cfg.Log.Warn("stream is configured otherwise and stays as it is", zap.String("stream", want.Name),
			zap.Int("replicas", got.Replicas), zap.Int("wanted_replicas", want.Replicas),
			zap.Stringer("storage", got.Storage), zap.Stringer("wanted_storage", want.Storage))
	}
	if got.MaxBytes > 0 || got.MaxMsgs > 0 || got.MaxMsgsPerSubject > 0 {
		cfg.Log.Warn("stream has a limit: when it is reached, the oldest undelivered actions are lost; remove it or watch it", zap.String("stream", want.Name),
			zap.Int64("max_bytes", got.MaxBytes), zap.Int64("max_msgs", got.MaxMsgs), zap.Int64("max_msgs_per_subject", got.MaxMsgsPerSubject))
	}
	return stream, usable(got)
}

// A cluster that is electing a leader leaves a question without an answer: it is asked so often, for so long each time.
const (
	openTries = 3
	openWait  = 5 * time.Second
)

// openStream opens a stream, and creates it if it is missing.
func openStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	for try := 1; ; try++ {
		asking, cancel := context.WithTimeout(ctx, openWait)
		stream, err := openOnce(asking, js, want)
		cancel()
		if try == openTries || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return stream, err
		}
	}
}

func openOnce(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another worker was faster, with settings of its own
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return stream, nil
}

// usable names what the outbox can't do without.
func usable(got jetstream.StreamConfig) error {
	var errs []error
	if got.Retention != jetstream.WorkQueuePolicy {
		errs = append(errs, fmt.Errorf("stream %s: its retention is %s, it must be a work queue", got.Name, got.Retention))
	}
	if !got.AllowMsgSchedules {
		errs = append(errs, fmt.Errorf("stream %s: turn on AllowMsgSchedules, retries are schedules", got.Name))
	}
	if !got.AllowMsgTTL {
		errs = append(errs, fmt.Errorf("stream %s: turn on AllowMsgTTL, done markers need it", got.Name))
	}
	if got.MaxAge != 0 {
		errs = append(errs, fmt.Errorf("stream %s: remove its maximum age of %v, undelivered actions would expire", got.Name, got.MaxAge))
	}
	return errors.Join(errs...)
}

// openDead opens the stream of dead letters, which the worker's queue creates.
func openDead(ctx context.Context, js jetstream.JetStream, n names) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, n.deadStream())
	if err != nil {
		return nil, fmt.Errorf("open stream %s of dead letters, which a worker creates: %w", n.deadStream(), err)
	}
	return stream, nil
}
