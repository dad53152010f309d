package queue

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
)

// Lanes keep prompts of one visitor from overlapping, and those of one lane in their order, across all workers.
//
// A lane is the subjects lanes.<bot>.<lane>.<prompt>, read in order, and a token ready.<bot>.<lane>, of which the READY
// stream holds at most one. Who takes the token works the lane off, prompt by prompt, and acknowledges the token at the
// end. A token is a lease: if its holder dies it comes again, and the fences of journal and outcome keep a holder that was
// merely paused from doing harm. A token that is missing is put back by the sweeper.
//
// One mover per bot, a consumer with MaxAckPending 1, puts the prompts of lane subjects into their lanes: several at once
// would change their order.
//
// A lane is named by its subject or by its visitor. Where a prompt on lane L names another visitor V, it holds its place
// at the head of L and runs in lane V; L goes on when it is done.

// What a prompt in a lane keeps of its first message.
const (
	headerArrived  = "Dgworker-Arrived"  // when it came, RFC 3339 with nanoseconds
	headerPosition = "Dgworker-Position" // its id by position
	headerMsgID    = "Dgworker-Msg-Id"   // its Nats-Msg-Id, which must not tell this stream what to store
	headerLane     = "Dgworker-Lane"     // the lane's name, if it came on a lane subject
	headerBehind   = "Dgworker-Behind"   // the lane at whose head it waits besides
)

// visitorLane returns the lane of the visitor that the prompt names, and the prompt's id; "" if it names none, or isn't
// valid: then it is rejected where it stands.
func visitorLane(job *worker.Job) (lane, id string) {
	p, err := worker.ParsePrompt(job, len(job.Payload))
	if err != nil || p.VisitorID == "" {
		return "", p.ID
	}
	return rules.EncodeToken(p.VisitorID), p.ID
}

// move puts the prompts of a bot's lane subjects into their lanes, one at a time, until ctx ends.
func (in *Intake) move(ctx context.Context, bot string) {
	config := in.consumer("mover-"+bot, in.q.Names.Lane(bot, "*"))
	config.MaxAckPending = 1
	t := &taker{stream: in.q.prompts, config: config, log: in.log}
	defer t.close()
	for ctx.Err() == nil {
		if err := in.moveOne(ctx, t, bot); err != nil && ctx.Err() == nil {
			in.log.Warn("lane prompts could not be moved: trying again", zap.String("bot", bot), zap.Error(err))
			t.close()
			_ = wait(ctx, afterTrouble)
		}
	}
}

func (in *Intake) moveOne(ctx context.Context, t *taker, bot string) error {
	if t.iter == nil {
		if err := t.open(ctx); err != nil {
			return err
		}
	}
	iter := t.iter
	defer context.AfterFunc(ctx, iter.Drain)()
	m, err := Next(iter)
	if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.iter = nil
		return nil
	}
	if err != nil {
		return err
	}
	lane := in.q.Names.split(m.Subject())[1]
	job, err := in.job(bot, lane, m)
	if err != nil {
		return err
	}
	_, id := visitorLane(job)
	if err := in.queueUp(in.handling, job, lane, id, ""); err != nil {
		return err
	}
	return m.Ack()
}

// queueUp stores the prompt in a lane, once, and makes sure that the lane has its token. behind is the lane at whose head
// the prompt waits besides.
func (in *Intake) queueUp(ctx context.Context, job *worker.Job, lane, id, behind string) error {
	ctx, cancel := context.WithTimeout(ctx, in.q.Publish)
	defer cancel()
	msg := nats.NewMsg(in.q.Names.queued(job.Bot, lane, rules.EncodeToken(id)))
	msg.Data = job.Payload
	for name, values := range job.Headers {
		// What told the first stream how to store the message must not tell the second.
		if !strings.HasPrefix(name, "Nats-Expected-") && name != "Nats-TTL" && name != worker.HeaderID {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(headerArrived, job.Arrived.Format(time.RFC3339Nano))
	msg.Header.Set(headerPosition, job.PositionID)
	if ids := job.Headers[worker.HeaderID]; len(ids) > 0 {
		msg.Header.Set(headerMsgID, ids[0])
	}
	msg.Header.Set(headerLane, job.Lane)
	if behind != "" {
		msg.Header.Set(headerBehind, behind)
	}
	if err := in.q.keep(ctx, in.q.lanes, msg); err != nil {
		return err
	}
	return in.putToken(ctx, job.Bot, lane)
}

// putToken publishes the lane's token; one that is there already, in flight or not, does as well.
func (in *Intake) putToken(ctx context.Context, bot, lane string) error {
	_, err := in.q.JetStream.Publish(ctx, in.q.Names.ready(bot, lane), nil)
	if apiCode(err) == codeMaxPerSubject {
		return nil
	}
	return err
}

// handleToken works a lane off. The token's slot serves one prompt after the other.
func (in *Intake) handleToken(bot string, token jetstream.Msg) {
	ctx, held := in.beat.hold(in.handling, token)
	defer held.release()
	lane := in.q.Names.split(token.Subject())[1]
	for ctx.Err() == nil && in.taking.Err() == nil {
		head, err := in.head(ctx, bot, lane)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			in.endLane(ctx, bot, lane, token)
			return
		}
		if err == nil {
			var on bool
			if on, err = in.handleHead(ctx, held, bot, lane, head, token); !on && err == nil {
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			in.log.Warn("lane could not be worked off: trying again", zap.String("lane", lane), zap.Error(err))
			_ = token.NakWithDelay(afterTrouble)
			return
		}
	}
	if errors.Is(context.Cause(ctx), worker.ErrFenced) {
		in.log.Warn("overtaken: another worker may have the lane by now; it is left alone here", zap.String("lane", lane), zap.Error(context.Cause(ctx)))
		return
	}
	_ = token.Nak()
}

// head returns the first prompt of a lane.
func (in *Intake) head(ctx context.Context, bot, lane string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, in.q.Publish)
	defer cancel()
	return in.q.lanes.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(in.q.Names.queued(bot, lane, "*")))
}

// handleHead handles the first prompt of a lane and says whether the lane goes on. If not, the token is settled.
func (in *Intake) handleHead(ctx context.Context, held *holding, bot, lane string, head *jetstream.RawStreamMsg, token jetstream.Msg) (on bool, err error) {
	job := laneJob(bot, head)
	if meta, err := token.Metadata(); err == nil {
		job.Again = meta.NumDelivered > 1 || head.Header.Get(headerBehind) != ""
		job.Hold = worker.Hold{Seq: meta.Sequence.Stream, N: meta.NumDelivered}
	}
	if visitor, id := visitorLane(job); visitor != "" && visitor != lane && head.Header.Get(headerBehind) == "" {
		return in.sendAhead(ctx, job, lane, visitor, id, head, token)
	}
	job.Until = held.until
	d := in.handle(ctx, job)
	if d.Verb != worker.Ack {
		in.settle(token, d)
		return false, nil
	}
	return true, in.leaveLane(bot, head)
}

// sendAhead lets a prompt that names another visitor run in that visitor's lane, while it keeps its place in this one.
func (in *Intake) sendAhead(ctx context.Context, job *worker.Job, lane, visitor, id string, head *jetstream.RawStreamMsg, token jetstream.Msg) (on bool, err error) {
	settled, err := in.q.Outcomes.Settled(ctx, id)
	if err != nil {
		return false, err
	}
	if settled {
		return true, in.leaveLane(job.Bot, head)
	}
	if err := in.queueUp(ctx, job, visitor, id, lane); err != nil {
		return false, err
	}
	return false, token.Ack()
}

// leaveLane removes a prompt that has its outcome, and wakes the lane at whose head it waited.
func (in *Intake) leaveLane(bot string, head *jetstream.RawStreamMsg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in.handling), in.q.Publish)
	defer cancel()
	if behind := head.Header.Get(headerBehind); behind != "" {
		if err := in.putToken(ctx, bot, behind); err != nil {
			return err
		}
	}
	err := in.q.lanes.DeleteMsg(ctx, head.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil // somebody else was faster; if not, the outcome is found when the prompt comes again
	}
	return err
}

// endLane gives the token up and looks once more: a prompt may have come whose token was refused because of this one.
func (in *Intake) endLane(ctx context.Context, bot, lane string, token jetstream.Msg) {
	ctx, cancel := context.WithTimeout(ctx, in.q.Publish)
	defer cancel()
	err := token.DoubleAck(ctx)
	if err == nil {
		if _, err = in.head(ctx, bot, lane); err == nil {
			err = in.putToken(ctx, bot, lane)
		}
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		in.log.Warn("lane may wait for the sweeper", zap.String("lane", lane), zap.Error(err))
	}
}

// laneJob is a prompt as it came first, out of the message that the lane keeps. Whether it was held before only the lane's
// token knows.
func laneJob(bot string, head *jetstream.RawStreamMsg) *worker.Job {
	job := &worker.Job{Bot: bot, Lane: head.Header.Get(headerLane), Payload: head.Data, PositionID: head.Header.Get(headerPosition)}
	job.Arrived, _ = time.Parse(time.RFC3339Nano, head.Header.Get(headerArrived))
	job.Headers = map[string][]string{}
	for name, values := range head.Header {
		switch name {
		case headerArrived, headerPosition, headerLane, headerBehind:
		case headerMsgID:
			job.Headers[worker.HeaderID] = values
		default:
			job.Headers[name] = values
		}
	}
	job.Again = true
	return job
}

func itoa(n uint64) string { return strconv.FormatUint(n, 36) }
