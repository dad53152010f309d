package trigger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Scheduled triggers are message schedules of NATS, so each fires once however many workers run, and while none does.
//
// A work queue <PREFIX>_CRON holds one schedule per trigger, on <prefix>.cron.schedules.<trigger>. When it is due NATS
// publishes on <prefix>.cron.due.<trigger>, and from there it goes on like any event. What is due rolls up: runs that no
// worker could take become one, so that a worker that comes back after a week runs an hourly trigger once, not 168 times.
//
// A schedule is only written where it differs from the one that is there, since every write begins an interval anew. Of
// two workers whose rules differ, the one that loaded its rules last decides. A schedule that leaves a worker's rules is
// removed when no other worker waits for it: whoever knows the trigger has a pull request at its consumer. One that was
// left behind (its last worker was killed, and came back with other rules) is removed when nobody has waited for it for
// Config.Orphaned.

// sweepEvery is how often schedules are looked for that nobody waits for.
const sweepEvery = time.Minute

func (s *Service) cronStream() jetstream.StreamConfig {
	n := s.Queue.Names
	return jetstream.StreamConfig{
		Name: n.Stream("CRON"), Subjects: []string{n.Prefix + ".cron.>"}, Retention: jetstream.WorkQueuePolicy,
		AllowMsgSchedules: true, AllowRollup: true, AllowMsgTTL: true,
		Description: "dgworker: schedules of triggers, and what is due",
	}
}

// connectSchedule reads what is due, and writes the trigger's schedule where it is missing or another.
func (src *source) connectSchedule(ctx context.Context, t *generation) (err error) {
	defer func() {
		if err != nil {
			src.cron = nil // somebody may have deleted it
		}
	}()
	if src.cron == nil {
		if src.cron, err = src.s.Queue.EnsureStream(ctx, src.s.cronStream()); err != nil {
			return err
		}
	}
	if err := src.read(ctx, holding{src.cron, []string{src.s.Queue.Names.Due(t.Name)}}); err != nil {
		return err
	}
	for err = src.s.schedule(ctx, src.cron, t, src.written); refused(err); {
		err = src.s.schedule(ctx, src.cron, t, src.written)
	}
	src.written = src.written || err == nil
	return err
}

// schedule writes the schedule of t, on the condition that nobody wrote it since it was looked at. Where this worker has
// written or seen it before, it is only put back if it is gone: another worker's rules may be newer.
func (s *Service) schedule(ctx context.Context, stream jetstream.Stream, t *generation, written bool) error {
	subject := s.Queue.Names.Schedule(t.Name)
	there, err := stream.GetLastMsgForSubject(ctx, subject)
	last := uint64(0)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		// What is due now was due to a trigger of this name that has gone.
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(s.Queue.Names.Due(t.Name)))
	case err == nil && (written || isSchedule(there.Header, t)):
		return nil
	case err == nil:
		last = there.Sequence
	}
	if err == nil {
		_, err = s.Queue.JetStream.PublishMsg(ctx, s.scheduleMessage(t), jetstream.WithExpectLastSequencePerSubject(last))
	}
	if err != nil {
		return fmt.Errorf("schedule trigger %s: %w", t.Name, err)
	}
	s.Log.Info("trigger is scheduled", zap.String("trigger", t.Name), zap.String("schedule", t.Schedule()), zap.String("timezone", t.Timezone))
	return nil
}

func isSchedule(h nats.Header, t *generation) bool {
	return h.Get(jetstream.ScheduleHeader) == t.Schedule() && h.Get(jetstream.ScheduleTimeZoneHeader) == t.Timezone
}

func (s *Service) scheduleMessage(t *generation) *nats.Msg {
	msg := nats.NewMsg(s.Queue.Names.Schedule(t.Name))
	msg.Header.Set(jetstream.ScheduleHeader, t.Schedule())
	msg.Header.Set(jetstream.ScheduleTargetHeader, s.Queue.Names.Due(t.Name))
	msg.Header.Set(jetstream.ScheduleRollupHeader, jetstream.MsgRollupSubject)
	if t.Timezone != "" {
		msg.Header.Set(jetstream.ScheduleTimeZoneHeader, t.Timezone)
	}
	return msg
}

// refused says that another worker wrote the same subject in between.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}

// retire removes the schedule of a trigger that has left the rules, unless another worker still waits for it.
func (s *Service) retire(ctx context.Context, trigger string) {
	ctx, cancel := context.WithTimeout(ctx, s.Queue.Publish)
	defer cancel()
	stream, err := s.Queue.JetStream.Stream(ctx, s.Queue.Names.Stream("CRON"))
	for range retireLooks {
		wanted := true
		if err == nil {
			wanted, err = s.wanted(ctx, stream, trigger)
		}
		if err == nil && !wanted {
			err = s.unschedule(ctx, stream, trigger)
		}
		if err != nil || !wanted || pause(ctx, retirePause) != nil {
			break
		}
	}
	if err != nil {
		s.Log.Warn("the schedule of a trigger that is gone could not be removed: trying again later", zap.String("trigger", trigger), zap.Error(err))
	}
}

// What this worker itself had at hand may still be on its way to be acknowledged.
const (
	retireLooks = 5
	retirePause = 100 * time.Millisecond
)

// wanted says whether any worker waits for what the trigger's schedule publishes.
func (s *Service) wanted(ctx context.Context, stream jetstream.Stream, trigger string) (bool, error) {
	consumer, err := stream.Consumer(ctx, durable(s.Queue.Prefix, trigger))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info := consumer.CachedInfo()
	return info.NumWaiting > 0 || info.NumAckPending > 0, nil
}

func (s *Service) unschedule(ctx context.Context, stream jetstream.Stream, trigger string) error {
	for _, subject := range []string{s.Queue.Names.Schedule(trigger), s.Queue.Names.Due(trigger)} {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	s.Log.Info("trigger is no longer scheduled", zap.String("trigger", trigger))
	return nil
}

// sweep removes schedules that nobody has waited for in a long time.
func (s *Service) sweep() {
	unwanted := map[string]time.Time{} // trigger -> since when
	for pause(s.taking, min(sweepEvery, s.Orphaned)) == nil {
		if err := s.sweepOnce(s.taking, unwanted); err != nil && s.taking.Err() == nil {
			s.Log.Warn("schedules that nobody waits for could not be looked for", zap.Error(err))
		}
	}
}

func (s *Service) sweepOnce(ctx context.Context, unwanted map[string]time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, s.Queue.Publish)
	defer cancel()
	stream, err := s.Queue.JetStream.Stream(ctx, s.Queue.Names.Stream("CRON"))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	all := s.Queue.Names.Schedule("*")
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(all))
	if err != nil {
		return err
	}
	own := s.snapshot()
	for subject := range info.State.Subjects {
		name := strings.TrimPrefix(subject, strings.TrimSuffix(all, "*"))
		wanted := own[name].scheduled()
		if !wanted {
			if wanted, err = s.wanted(ctx, stream, name); err != nil {
				return err
			}
		}
		since, seen := unwanted[name]
		switch {
		case wanted:
			delete(unwanted, name)
		case !seen:
			unwanted[name] = time.Now()
		case time.Since(since) >= s.Orphaned:
			delete(unwanted, name)
			if err := s.unschedule(ctx, stream, name); err != nil {
				return err
			}
		}
	}
	return nil
}
