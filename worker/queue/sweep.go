package queue

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
)

// sweep looks, every Config.Sweep, for what nobody is going to take by itself: prompts for bots that no worker knows, and
// lanes whose token was lost.
func (in *Intake) sweep(ctx context.Context) {
	for wait(ctx, in.q.Sweep) == nil {
		if err := in.sweepBots(ctx); err != nil && ctx.Err() == nil {
			in.log.Warn("prompts of unknown bots could not be looked for", zap.Error(err))
		}
		if err := in.sweepLanes(ctx); err != nil && ctx.Err() == nil {
			in.log.Warn("lanes without a token could not be looked for", zap.Error(err))
		}
	}
}

// sweepBots rejects prompts for bots that no worker has ever had a consumer for, once they are older than the grace.
func (in *Intake) sweepBots(ctx context.Context) error {
	info, err := in.q.prompts.Info(ctx, jetstream.WithSubjectFilter(in.q.Names.Prefix+".prompts.>"))
	if err != nil {
		return err
	}
	hasWorker := in.hasWorker(ctx)
	for subject := range info.State.Subjects {
		tokens := in.q.Names.split(subject)
		if len(tokens) <= 2 && hasWorker(tokens[0]) {
			continue
		}
		if err := in.sweepSubject(ctx, tokens[0], subject); err != nil {
			return err
		}
	}
	return nil
}

// hasWorker returns what says whether any worker has taken prompts of a bot: its consumer stays until somebody removes it.
func (in *Intake) hasWorker(ctx context.Context) func(bot string) bool {
	known := map[string]bool{}
	return func(bot string) bool {
		has, asked := known[bot]
		if !asked {
			has = in.knows(bot)
			if !has {
				_, err := in.q.prompts.Consumer(ctx, "bot-"+bot)
				has = err == nil
			}
			known[bot] = has
		}
		return has
	}
}

// sweepSubject rejects the prompts of one subject that have waited for longer than the grace.
func (in *Intake) sweepSubject(ctx context.Context, bot, subject string) error {
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		msg, err := in.q.prompts.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if err != nil || time.Since(msg.Time) < in.q.Grace {
			return ignoreNotFound(err)
		}
		job := &worker.Job{
			Bot: bot, Payload: msg.Data, Headers: msg.Header, Arrived: msg.Time,
			PositionID: positionID(msg.Sequence, msg.Time), Again: true, NoSuchBot: true,
		}
		if d := in.handler.Handle(in.handling, job); d.Verb == worker.Ack {
			err = in.q.prompts.DeleteMsg(ctx, msg.Sequence)
		}
		if err != nil {
			return ignoreNotFound(err)
		}
		seq = msg.Sequence
	}
	return nil
}

// sweepLanes puts back the token of every lane of this worker's bots that has prompts. One that is there refuses the
// second, so this is cheap and safe, and every worker does it. What is left in the lanes of a bot that has no worker any
// more is rejected.
func (in *Intake) sweepLanes(ctx context.Context) error {
	info, err := in.q.lanes.Info(ctx, jetstream.WithSubjectFilter(in.q.Names.Prefix+".lanes.>"))
	if err != nil {
		return err
	}
	hasWorker, done := in.hasWorker(ctx), map[[2]string]bool{}
	for subject := range info.State.Subjects {
		tokens := in.q.Names.split(subject)
		if !hasWorker(tokens[0]) {
			if err := in.sweepQueued(ctx, tokens[0], subject); err != nil {
				return err
			}
			continue
		}
		lane := [2]string{tokens[0], tokens[1]}
		if done[lane] || !in.knows(lane[0]) {
			continue
		}
		done[lane] = true
		if err := in.putToken(ctx, lane[0], lane[1]); err != nil {
			return err
		}
	}
	return nil
}

// sweepQueued rejects the prompt of one subject of the lanes, if it has waited for longer than the grace.
func (in *Intake) sweepQueued(ctx context.Context, bot, subject string) error {
	msg, err := in.q.lanes.GetLastMsgForSubject(ctx, subject)
	if err != nil || time.Since(msg.Time) < in.q.Grace {
		return ignoreNotFound(err)
	}
	job := laneJob(bot, msg)
	job.Again, job.NoSuchBot = true, true
	if d := in.handler.Handle(in.handling, job); d.Verb == worker.Ack {
		err = in.q.lanes.DeleteMsg(ctx, msg.Sequence)
	}
	return ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if apiCode(err) == codeNoMessage {
		return nil
	}
	return err
}

// codeNoMessage answers a read of a message that isn't there.
const codeNoMessage = 10037
