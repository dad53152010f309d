package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

// progress is a message that a worker holds.
type progress interface {
	InProgress() error
	Metadata() (*jetstream.MsgMetadata, error)
	Reply() string
}

// heartbeat tells NATS every third of AckWait that the messages held here are being worked on, one loop for all of them,
// and makes sure that their consumers have heard.
//
// A message belongs to this worker for AckWait from the last beat that NATS is known to have heard. A worker that is cut
// off from NATS, or was paused, must let go before that: the next holder opens a socket as the same visitor, and nobody
// may be in two conversations at once.
type heartbeat struct {
	every   time.Duration
	confirm func(context.Context, progress) error // says that it is worked on, and returns once its consumer has heard

	mu   sync.Mutex
	held map[*holding]struct{}
}

// holding is one message that is held.
type holding struct {
	of       *heartbeat
	msg      progress
	consumer string
	heard    time.Time // when the last beat that NATS has heard was sent, or when the message came
	expiry   *time.Timer
	lose     context.CancelCauseFunc
}

// errUnheard is the cause with which a prompt is let go of, without a word to NATS: it may be another's by now.
var errUnheard = fmt.Errorf("NATS has not heard of this worker for as long as AckWait: %w", worker.ErrFenced)

// confirmBy asks the message's consumer for an answer. That comes from whoever leads the consumer and hands its messages out:
// a server in between, which may be cut off from that one, can't give it.
func confirmBy(conn *nats.Conn) func(context.Context, progress) error {
	return func(ctx context.Context, m progress) error {
		_, err := conn.RequestWithContext(ctx, m.Reply(), []byte("+WPI"))
		return err
	}
}

func newHeartbeat(ackWait time.Duration, confirm func(context.Context, progress) error) *heartbeat {
	return &heartbeat{every: ackWait / 3, confirm: confirm, held: map[*holding]struct{}{}}
}

// life is how long a message is this worker's after a beat that was heard. What AckWait leaves over is for hanging up.
func (h *heartbeat) life() time.Duration { return 3 * h.every * 9 / 10 }

// hold keeps m alive until release. The context that it returns ends when m may have gone to another worker.
func (h *heartbeat) hold(ctx context.Context, m progress) (held context.Context, one *holding) {
	ctx, cancel := context.WithCancelCause(ctx)
	one = &holding{of: h, msg: m, consumer: consumerOf(m), heard: time.Now(), lose: cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[one] = struct{}{}
	one.expiry = time.AfterFunc(h.life(), func() { h.letGo(one) })
	return ctx, one
}

// consumerOf names the consumer of a message; those without one, which nobody waits for, are together.
func consumerOf(m progress) string {
	meta, err := m.Metadata()
	if err != nil {
		return ""
	}
	return meta.Stream + "." + meta.Consumer
}

func (o *holding) release() {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.expiry.Stop()
	delete(o.of.held, o)
	o.lose(nil)
}

// until returns until when the message is known to be this worker's. A process that was paused asks before its timers ring.
func (o *holding) until() time.Time {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	return o.heard.Add(o.of.life())
}

func (h *heartbeat) letGo(one *holding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, one)
	one.lose(errUnheard)
}

func (h *heartbeat) run(ctx context.Context) {
	t := time.NewTicker(h.every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			h.beat(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// beat says that everything held is worked on, and prolongs the life of what NATS has heard that of.
func (h *heartbeat) beat(ctx context.Context) {
	now := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.every)
	defer cancel()
	var beating sync.WaitGroup
	for _, held := range h.alive(now) {
		beating.Go(func() { h.beatConsumer(ctx, now, held) })
	}
	beating.Wait()
}

// beatConsumer does that for the messages of one consumer. What it has heard last says that it has heard the others.
func (h *heartbeat) beatConsumer(ctx context.Context, now time.Time, held []*holding) {
	last := len(held) - 1
	for _, one := range held[:last] {
		_ = one.msg.InProgress() // a message that was settled meanwhile needs none
	}
	if h.confirm(ctx, held[last].msg) != nil {
		return // the next beat may be heard, or the messages expire
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range held {
		if _, is := h.held[one]; is && one.expiry.Stop() {
			one.heard = now
			one.expiry.Reset(time.Until(now.Add(h.life())))
		}
	}
}

// alive returns what is held and has not expired, by consumer. A process that was paused may come here before the timers do.
func (h *heartbeat) alive(now time.Time) map[string][]*holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := map[string][]*holding{}
	for one := range h.held {
		if now.Sub(one.heard) < h.life() {
			held[one.consumer] = append(held[one.consumer], one)
		}
	}
	return held
}
