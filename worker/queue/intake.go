package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
)

// Handler is what the intake brings prompts to: the worker.
type Handler interface {
	Handle(ctx context.Context, job *worker.Job) worker.Disposition
	// Admit waits until bot may have another conversation.
	Admit(ctx context.Context, bot string) error
}

// maxAckPending bounds the prompts of a bot that all workers hold together, the delayed ones included.
const maxAckPending = 65_536

// errStopping is the cause with which prompts are handed back.
var errStopping = errors.New("the worker is stopping")

// Intake takes prompts of a set of bots and brings each to the handler.
type Intake struct {
	q       *Queue
	handler Handler
	slots   *Slots
	beat    *heartbeat
	log     *zap.Logger
	moved   moved

	taking   context.Context // ends first: nothing more is taken
	stopTake context.CancelCauseFunc
	handling context.Context // ends when what is held must be handed back
	handBack context.CancelCauseFunc
	ended    context.Context // ends when nothing is held any more
	end      context.CancelFunc
	loops    sync.WaitGroup
	handlers sync.WaitGroup
	beating  sync.WaitGroup

	mu   sync.Mutex
	bots map[Bot]context.CancelFunc
}

// Bot is one whose prompts are taken.
type Bot struct {
	Name string
	Max  int // conversations at once in this process; 0 is no limit beyond the worker's
}

// Start begins to sweep; SetBots begins to take. slots is the number of prompts held at once.
func (q *Queue) Start(handler Handler, slots int) *Intake {
	in := &Intake{q: q, handler: handler, slots: NewSlots(slots), beat: newHeartbeat(q.AckWait, confirmBy(q.Conn)), log: q.Log, bots: map[Bot]context.CancelFunc{}}
	in.taking, in.stopTake = context.WithCancelCause(context.Background())
	in.handling, in.handBack = context.WithCancelCause(context.Background())
	in.moved.now()
	in.ended, in.end = context.WithCancel(context.Background())
	in.loops.Go(func() { in.sweep(in.taking) })
	in.beating.Go(func() { in.beat.run(in.ended) })
	in.beating.Go(func() { q.Peers.watch(in.ended) })
	return in
}

// SetBots makes the intake take prompts of exactly these bots. Conversations of a bot that is gone go on to their end.
func (in *Intake) SetBots(bots []Bot) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.slots.Keep(bots)
	gone := in.bots
	in.bots = map[Bot]context.CancelFunc{}
	for _, bot := range bots {
		if cancel, ok := gone[bot]; ok {
			in.bots[bot] = cancel
			delete(gone, bot)
			continue
		}
		ctx, cancel := context.WithCancel(in.taking)
		in.bots[bot] = cancel
		in.startBot(ctx, bot)
	}
	for _, cancel := range gone {
		cancel()
	}
}

func (in *Intake) knows(bot string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for b := range in.bots {
		if b.Name == bot {
			return true
		}
	}
	return false
}

// startBot runs the three loops of a bot: prompts in parallel, tokens of lanes, and the mover that fills the lanes.
func (in *Intake) startBot(ctx context.Context, b Bot) {
	n, bot := in.q.Names, b.Name
	slots := []*Slots{in.slots}
	if b.Max > 0 {
		slots = []*Slots{NewSlots(b.Max), in.slots}
	}
	run := func(stream jetstream.Stream, durable, filter string, handle func(jetstream.Msg)) {
		t := &taker{
			bot: bot, stream: stream, config: in.consumer(durable, filter), slots: slots, handle: handle, log: in.log, wg: &in.handlers,
			admit: func(ctx context.Context) error { return in.handler.Admit(ctx, bot) },
		}
		in.loops.Go(func() { t.run(ctx) })
	}
	run(in.q.prompts, "bot-"+bot, n.Prompts(bot), func(m jetstream.Msg) { in.handlePlain(bot, m) })
	run(in.q.ready, "lanes-"+bot, n.ready(bot, "*"), func(m jetstream.Msg) { in.handleToken(bot, m) })
	in.loops.Go(func() { in.move(ctx, bot) })
}

func (in *Intake) consumer(durable, filter string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: in.q.AckWait, MaxAckPending: maxAckPending,
	}
}

// Stop takes nothing more, lets what is held finish until ctx ends, hands the rest back, and waits for it. Calling it
// again is safe.
func (in *Intake) Stop(ctx context.Context) {
	in.stopTake(errStopping)
	in.loops.Wait()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in.handlers.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	in.handBack(errStopping)
	<-done
	in.end()
	in.beating.Wait()
}

// handlePlain handles a prompt of the parallel subject. One that names a visitor joins that visitor's lane instead.
func (in *Intake) handlePlain(bot string, m jetstream.Msg) {
	ctx, held := in.beat.hold(in.handling, m)
	defer held.release()
	job, err := in.job(bot, "", m)
	if err != nil {
		in.log.Error("message without metadata: left alone", zap.Error(err))
		return
	}
	if lane, id := visitorLane(job); lane != "" {
		if err := in.queueUp(ctx, job, lane, id, ""); err != nil {
			in.log.Warn("prompt could not be put into its lane: trying again", zap.String("lane", lane), zap.Error(err))
			_ = m.NakWithDelay(afterTrouble)
			return
		}
		_ = m.Ack()
		return
	}
	job.Until = held.until
	in.settle(m, in.handle(ctx, job))
}

func (in *Intake) handle(ctx context.Context, job *worker.Job) worker.Disposition {
	in.moved.now()
	defer in.moved.now()
	return in.handler.Handle(ctx, job)
}

// settle does to the message what the disposition says. A failure is repaired by redelivery.
func (in *Intake) settle(m jetstream.Msg, d worker.Disposition) {
	var err error
	switch d.Verb {
	case worker.Ack:
		err = m.Ack()
	case worker.Nak:
		err = m.NakWithDelay(d.After)
	}
	if err != nil {
		in.log.Warn("message could not be settled: it will come again", zap.Error(err))
	}
}

// job reads a message of the prompts stream.
func (in *Intake) job(bot, lane string, m jetstream.Msg) (*worker.Job, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	return &worker.Job{
		Bot: bot, Lane: lane, Payload: m.Data(), Headers: m.Headers(), Arrived: meta.Timestamp,
		PositionID: positionID(meta.Sequence.Stream, meta.Timestamp), Again: meta.NumDelivered > 1,
		Hold: worker.Hold{Seq: meta.Sequence.Stream, N: meta.NumDelivered},
	}, nil
}

// positionID is an id made of a message's place: the same on every redelivery, and never used again.
func positionID(seq uint64, at time.Time) string {
	return "p" + itoa(seq) + "-" + itoa(uint64(at.UnixNano()))
}
