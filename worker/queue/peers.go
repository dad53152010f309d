package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Peers lets workers ask each other whether a prompt is still held. NATS gives away again what it was not heard of for
// AckWait; but a server that is killed forgets whom it gave what in its last moments, and gives it to others at once. Who
// holds it is alive and in the middle of a conversation: only they know.
type Peers struct {
	conn    *nats.Conn
	names   Names
	ackWait time.Duration

	mu      sync.Mutex
	since   time.Time // when this worker's connection was made, at the latest
	changed chan nats.Status
}

// Times of asking.
const (
	answerWait = time.Second            // for a worker that is there and stands still
	askAgain   = 250 * time.Millisecond // where nobody is there, while they may be reconnecting
)

func newPeers(c *Config) *Peers {
	p := &Peers{conn: c.Conn, names: c.names(), ackWait: c.AckWait, since: time.Now()}
	p.changed = c.Conn.StatusChanged(nats.CONNECTED)
	return p
}

// watch notes when the connection is made again, until ctx ends.
func (p *Peers) watch(ctx context.Context) {
	defer p.conn.RemoveStatusListener(p.changed)
	for {
		select {
		case _, open := <-p.changed:
			if !open {
				return
			}
			p.mu.Lock()
			p.since = time.Now()
			p.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// Answer answers for the worker of that identity until the connection ends.
func (p *Peers) Answer(identity string, holds func(prompt string) bool) error {
	_, err := p.conn.Subscribe(p.names.holder(identity), func(m *nats.Msg) {
		answer := answerNo
		if holds(string(m.Data)) {
			answer = answerYes
		}
		_ = m.Respond([]byte(answer)) // who asked asks again
	})
	return err
}

const (
	answerYes = "held"
	answerNo  = "not held"
)

// Holds asks the worker of that identity whether it holds prompt. One that doesn't answer is gone, or stands still; or is
// cut off, and then it lets go by itself AckWait after NATS has heard of it last: see heartbeat. This worker's connection
// tells how long ago that can have been: while it is younger than AckWait, the others' may be about to come back.
func (p *Peers) Holds(ctx context.Context, identity, prompt string) (bool, error) {
	for asked := time.Now(); ; {
		asking, cancel := context.WithTimeout(ctx, answerWait)
		m, err := p.conn.RequestWithContext(asking, p.names.holder(identity), []byte(prompt))
		cancel()
		switch {
		case err == nil:
			return string(m.Data) == answerYes, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case !p.young() && time.Since(asked) >= p.hangUp():
			return false, nil
		case errors.Is(err, nats.ErrNoResponders):
			if err := wait(ctx, askAgain); err != nil {
				return false, err
			}
		}
	}
}

// hangUp is how long one that has just lost its connection may take to hang up or to come back. Where several servers
// keep the prompts, one that dies takes the last beat that it has heard with it, and this worker's connection may be to
// another: the others go by the beat before.
func (p *Peers) hangUp() time.Duration {
	if p.conn.ConnectedClusterName() == "" {
		return askAgain
	}
	return max(askAgain, p.ackWait/4)
}

func (p *Peers) young() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.since) < p.ackWait
}

// holder is the subject on which a worker is asked what it holds.
func (n Names) holder(identity string) string {
	return n.Prefix + ".holders." + strings.NewReplacer(".", "_", " ", "_").Replace(identity)
}
