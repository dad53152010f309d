package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// streams describes every stream that the queue needs, as it creates them. None but journals and outcomes age.
func (c *Config) streams() []jetstream.StreamConfig {
	n := c.names()
	all := []jetstream.StreamConfig{
		{
			Name: n.Stream("PROMPTS"), Subjects: []string{n.Prefix + ".prompts.>"}, Retention: jetstream.WorkQueuePolicy,
			Description: "dgworker: prompts that wait or are being handled",
		},
		{
			Name: n.Stream("LANES"), Subjects: []string{n.Prefix + ".lanes.>"},
			Description: "dgworker: prompts in the order of their lanes",
		},
		{
			Name: n.Stream("READY"), Subjects: []string{n.Prefix + ".ready.>"}, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, DiscardNewPerSubject: true,
			Description: "dgworker: one token for every lane that has prompts",
		},
		{
			// An hour more than the outcomes: a journal is what finds out that an id was used before.
			Name: n.Stream("JOURNAL"), Subjects: []string{n.Prefix + ".journal.>"}, MaxAge: c.Retain + time.Hour,
			Description: "dgworker: what was sent, shown and decided, by prompt",
		},
		{
			Name: n.Stream("OUTCOMES"), Subjects: []string{n.Prefix + ".outcomes.>", n.fence("*")}, MaxAge: c.Retain,
			Description: "dgworker: the one final record of every prompt",
		},
		{
			Name: n.Stream("DEAD"), Subjects: []string{n.Prefix + ".dead.>"}, AllowDirect: true,
			Description: "dgworker: what nobody will try again without being asked",
		},
	}
	for i := range all {
		all[i].Storage, all[i].Replicas = c.Storage, c.Replicas
	}
	return all
}

// EnsureStreams creates the streams that are missing, those of extra too. A stream that somebody configured otherwise is
// left as it is: what differs is logged, and it is an error only where dgworker can't work with it.
func EnsureStreams(ctx context.Context, c *Config, extra ...jetstream.StreamConfig) error {
	var errs []error
	for _, want := range append(c.streams(), extra...) {
		err := ensureStream(ctx, c, want)
		if errors.Is(err, errNoJetStream) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// errNoJetStream is what a server without JetStream comes to: its API has no responders.
var errNoJetStream = errors.New("JetStream is off on this NATS server or account: start it with -js, or choose an account (or --nats-domain) that has it")

func ensureStream(ctx context.Context, c *Config, want jetstream.StreamConfig) error {
	stream, err := c.JetStream.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = c.JetStream.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another worker was faster, with settings of its own
			stream, err = c.JetStream.Stream(ctx, want.Name)
		}
	}
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("open stream %s: %w", want.Name, errNoJetStream)
	case err != nil:
		return fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return compare(c, stream.CachedInfo().Config, want)
}

// compare says what differs between a stream as it is and as dgworker would have made it.
func compare(c *Config, got, want jetstream.StreamConfig) error {
	var fatal []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			fatal = append(fatal, fmt.Errorf("stream %s: "+format, append([]any{got.Name}, args...)...))
		}
	}
	refuse(got.Retention != want.Retention, "its retention is %s and must be %s; delete or rename that stream, or choose another --prefix", got.Retention, want.Retention)
	refuse(!covers(got.Subjects, want.Subjects[0]), "it does not hold the subject %s (it holds %v)", want.Subjects[0], got.Subjects)
	refuse(want.MaxMsgsPerSubject == 1 && (got.MaxMsgsPerSubject != 1 || !got.DiscardNewPerSubject), "it must hold one message per subject and discard new ones")
	refuse(want.MaxMsgsPerSubject != 1 && got.MaxMsgsPerSubject > 0, "it keeps only %d messages per subject, which would lose some", got.MaxMsgsPerSubject)
	refuse(want.AllowMsgSchedules && !got.AllowMsgSchedules, "it must allow message schedules")
	refuse(want.AllowRollup && !got.AllowRollup, "it must allow rollups")
	refuse(want.AllowMsgTTL && !got.AllowMsgTTL, "it must allow a TTL per message")
	refuse(want.MaxAge == 0 && got.MaxAge != 0, "its messages expire after %s, which would lose what nobody has handled", got.MaxAge)
	for _, subject := range want.Subjects[1:] {
		if !covers(got.Subjects, subject) {
			c.Log.Warn("stream lacks a subject and stays as it is: the outcome of a worker that was overtaken is kept out by time alone; add the subject with `nats stream edit`",
				zap.String("stream", got.Name), zap.String("subject", subject))
		}
	}
	if got.Replicas != want.Replicas || got.Storage != want.Storage || got.MaxAge != want.MaxAge {
		c.Log.Warn("stream is configured otherwise and stays as it is", zap.String("stream", got.Name),
			zap.Int("replicas", got.Replicas), zap.Int("wanted_replicas", want.Replicas),
			zap.Stringer("storage", got.Storage), zap.Stringer("wanted_storage", want.Storage),
			zap.Duration("max_age", got.MaxAge), zap.Duration("wanted_max_age", want.MaxAge))
	}
	return errors.Join(fatal...)
}

func covers(subjects []string, want string) bool {
	for _, s := range subjects {
		if s == want || s == ">" {
			return true
		}
	}
	return false
}
