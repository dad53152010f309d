package queue

import (
	"context"
	"sync"
	"time"
)

// progress is a message that a worker holds.
type progress interface{ InProgress() error }

// heartbeat tells NATS every third of AckWait that the messages held here are being worked on: one loop for all of them.
type heartbeat struct {
	every time.Duration
	mu    sync.Mutex
	held  map[progress]struct{}
	last  time.Time // of the beats
	gap   time.Time // when the last beat came that was so late that NATS may have given away what was held before
}

func newHeartbeat(ackWait time.Duration) *heartbeat {
	return &heartbeat{every: ackWait / 3, held: map[progress]struct{}{}, last: time.Now()}
}

// hold keeps m alive until release.
func (h *heartbeat) hold(m progress) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[m] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.held, m)
	}
}

func (h *heartbeat) run(ctx context.Context) {
	t := time.NewTicker(h.every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			h.beat()
		case <-ctx.Done():
			return
		}
	}
}

func (h *heartbeat) beat() {
	h.mu.Lock()
	h.mind()
	h.last = time.Now()
	held := make([]progress, 0, len(h.held))
	for m := range h.held {
		held = append(held, m)
	}
	h.mu.Unlock()
	for _, m := range held {
		_ = m.InProgress() // a message that was settled meanwhile needs none; a lost one is redelivered
	}
}

// lost says whether this process has been paused since, for so long that another may hold by now what was held then.
func (h *heartbeat) lost(since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mind()
	return h.gap.After(since)
}

// mind notes a beat that is overdue. The caller holds mu.
func (h *heartbeat) mind() {
	if now := time.Now(); now.Sub(h.last) > 2*h.every {
		h.gap = now
	}
}
