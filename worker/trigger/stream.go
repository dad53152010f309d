package trigger

import (
	"context"
	"dgworker/worker/queue"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// holding is a stream with the part of a trigger's subject that it holds.
type holding struct {
	stream   jetstream.Stream
	subjects []string // what both have, each the same or narrower
}

// find returns the streams that hold subject or a part of it.
func (s *Service) find(ctx context.Context, subject string) ([]holding, error) {
	var found []holding
	names := s.Queue.JetStream.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
	for name := range names.Name() {
		stream, err := s.Queue.JetStream.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // gone since
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", name, err)
		}
		h := holding{stream: stream}
		for _, held := range stream.CachedInfo().Config.Subjects {
			if both, ok := intersect(subject, held); ok {
				h.subjects = append(h.subjects, both)
			}
		}
		if len(h.subjects) > 0 {
			found = append(found, h)
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("look for streams that hold %s: %w", subject, err)
	}
	return found, nil
}

// intersect returns the subject that matches what both a and b match.
func intersect(a, b string) (string, bool) {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	var both []string
	for i := 0; i < len(left) && i < len(right); i++ {
		l, r := left[i], right[i]
		switch {
		case l == ">":
			return strings.Join(append(both, right[i:]...), "."), true
		case r == ">":
			return strings.Join(append(both, left[i:]...), "."), true
		case l == r || r == "*":
			both = append(both, l)
		case l == "*":
			both = append(both, r)
		default:
			return "", false
		}
	}
	return strings.Join(both, "."), len(left) == len(right)
}

func holds(found []holding, stream string) bool {
	return slices.ContainsFunc(found, func(h holding) bool { return h.stream.CachedInfo().Config.Name == stream })
}

// covered says whether one stream holds all of subject.
func covered(found []holding, subject string) bool {
	return slices.Contains(*subjectsOf(found), subject)
}

func subjectsOf(found []holding) *[]string {
	all := []string{}
	for _, h := range found {
		all = append(all, h.subjects...)
	}
	return &all
}

func matchesAny(subject string, filters []string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return server.SubjectMatchesFilter(subject, f) })
}

// reader reads one stream for a trigger.
type reader struct {
	src    *source
	stream jetstream.Stream
	config jetstream.ConsumerConfig
	ctx    context.Context
	cancel context.CancelFunc
}

// read begins to read a stream, or goes on if what it holds for the trigger is the same.
func (src *source) read(ctx context.Context, h holding) error {
	info := h.stream.CachedInfo().Config
	config := src.consumer(h, info.Retention)
	if r := src.streams[info.Name]; r != nil {
		if slices.Equal(r.config.FilterSubjects, config.FilterSubjects) {
			return nil
		}
		r.cancel()
		delete(src.streams, info.Name)
	}
	r := &reader{src: src, stream: h.stream, config: config}
	consumer, err := r.open(ctx)
	if err != nil {
		return err
	}
	r.ctx, r.cancel = context.WithCancel(src.ctx)
	src.streams[info.Name] = r
	src.readers.Go(func() { r.run(consumer) })
	return nil
}

// consumer is the consumer that the trigger reads a stream by. One that names visitors takes an event at a time: several
// at once would change their order.
func (src *source) consumer(h holding, retention jetstream.RetentionPolicy) jetstream.ConsumerConfig {
	t, q := src.trigger.Load(), src.s.Queue
	c := jetstream.ConsumerConfig{
		Durable: durable(q.Prefix, t.Name), Description: "dgworker: events of trigger " + t.Name, FilterSubjects: h.subjects,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.AckWait, MaxAckPending: 1000, DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if cap(src.slots) == 1 {
		c.MaxAckPending = 1
	}
	switch {
	case t.StartAll, retention == jetstream.WorkQueuePolicy: // of a work queue all that is there is still to be done
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case !t.Start.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &t.Start
	}
	return c
}

// open creates the consumer if it is missing. Of one that is there what can change is brought up to date; where it began
// stays, whatever `start` says now.
func (r *reader) open(ctx context.Context) (jetstream.Consumer, error) {
	config := r.config
	there, err := r.stream.Consumer(ctx, config.Durable)
	if err == nil {
		old := there.CachedInfo().Config
		config.DeliverPolicy, config.OptStartTime, config.OptStartSeq = old.DeliverPolicy, old.OptStartTime, old.OptStartSeq
		config.Replicas, config.MemoryStorage, config.InactiveThreshold = old.Replicas, old.MemoryStorage, old.InactiveThreshold
	}
	if err == nil || errors.Is(err, jetstream.ErrConsumerNotFound) {
		there, err = r.stream.CreateOrUpdateConsumer(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of stream %s: %w", config.Durable, r.stream.CachedInfo().Config.Name, err)
	}
	return there, nil
}

// run reads until the reader is cancelled, and opens the consumer again whenever it is lost.
func (r *reader) run(consumer jetstream.Consumer) {
	for {
		err := r.drain(consumer)
		for wait := afterTrouble; err != nil && r.ctx.Err() == nil; wait = min(2*wait, r.src.s.Refresh) {
			r.src.s.trouble(r.src.trigger.Load(), "a stream can't be read", err)
			if pause(r.ctx, wait) == nil {
				consumer, err = r.open(r.ctx)
			}
		}
		if r.ctx.Err() != nil {
			return
		}
	}
}

// drain takes messages until the reader is cancelled, which lets through what NATS had sent already.
func (r *reader) drain(consumer jetstream.Consumer) error {
	iter, err := consumer.Messages(jetstream.PullMaxMessages(cap(r.src.slots)))
	if err != nil {
		return err
	}
	defer iter.Stop()
	defer context.AfterFunc(r.ctx, iter.Drain)()
	for {
		m, err := queue.Next(iter)
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		r.src.handle(func(context.Context) { r.src.took(m) })
	}
}
