package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dgworker/worker"
)

// progress is a message that a worker holds.
type progress interface{ InProgress() error }

// heartbeat tells NATS every third of AckWait that the messages held here are being worked on, one loop for all of them,
// and makes sure that NATS has heard.
//
// A message belongs to this worker for AckWait from the last beat that NATS is known to have heard. A worker that is cut
// off from NATS, or was paused, must let go before that: the next holder opens a socket as the same visitor, and nobody
// may be in two conversations at once.
type heartbeat struct {
	every   time.Duration
	confirm func(context.Context) error // returns once NATS has heard all that was said before

	mu   sync.Mutex
	held map[*holding]struct{}
}

// holding is one message that is held.
type holding struct {
	of     *heartbeat
	msg    progress
	heard  time.Time // when the last beat that NATS has heard was sent, or when the message came
	expiry *time.Timer
	lose   context.CancelCauseFunc
}

// errUnheard is the cause with which a prompt is let go of, without a word to NATS: it may be another's by now.
var errUnheard = fmt.Errorf("NATS has not heard of this worker for as long as AckWait: %w", worker.ErrFenced)

func newHeartbeat(ackWait time.Duration, confirm func(context.Context) error) *heartbeat {
	return &heartbeat{every: ackWait / 3, confirm: confirm, held: map[*holding]struct{}{}}
}

// life is how long a message is this worker's after a beat that was heard. What AckWait leaves over is for hanging up.
func (h *heartbeat) life() time.Duration { return 3 * h.every * 9 / 10 }

// hold keeps m alive until release. The context that it returns ends when m may have gone to another worker.
func (h *heartbeat) hold(ctx context.Context, m progress) (held context.Context, one *holding) {
	ctx, cancel := context.WithCancelCause(ctx)
	one = &holding{of: h, msg: m, heard: time.Now(), lose: cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[one] = struct{}{}
	one.expiry = time.AfterFunc(h.life(), func() { h.letGo(one) })
	return ctx, one
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
	held := h.alive(now)
	if len(held) == 0 {
		return
	}
	for _, one := range held {
		_ = one.msg.InProgress() // a message that was settled meanwhile needs none
	}
	ctx, cancel := context.WithTimeout(ctx, h.every)
	defer cancel()
	if h.confirm(ctx) != nil {
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

// alive returns what is held and has not expired. A process that was paused may come here before the timers do.
func (h *heartbeat) alive(now time.Time) []*holding {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := make([]*holding, 0, len(h.held))
	for one := range h.held {
		if now.Sub(one.heard) < h.life() {
			held = append(held, one)
		}
	}
	return held
}
