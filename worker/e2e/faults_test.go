package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"dgworker/rules"
	"dgworker/worker"
)

// fault is one way to break things.
type fault struct {
	name  string
	times int // in a run of 500 prompts; in a longer one as many more as prompts / 2,000
	play  func(context.Context, *chaos)
}

var faults = []fault{
	{"kill -9 of a worker", 20, func(_ context.Context, c *chaos) {
		w := c.anyWorker()
		w.kill()
		w.revive()
	}},
	{"kill -9 of a worker that has just journaled what fired", 6, func(ctx context.Context, c *chaos) {
		c.killWriter(ctx, func(r *worker.Record) bool {
			return slices.ContainsFunc(r.Seen, func(s rules.Seen) bool {
				return slices.ContainsFunc(s.Decisions, func(d rules.Decision) bool { return d.Result == rules.Fired })
			})
		})
	}},
	{"kill -9 of a worker that has just marked a message as sent", 2, func(ctx context.Context, c *chaos) {
		c.killWriter(ctx, func(r *worker.Record) bool { return r.Sent != nil })
	}},
	{"SIGSTOP of a worker past AckWait", 2, func(ctx context.Context, c *chaos) {
		w := c.anyWorker()
		w.signal(syscall.SIGSTOP)
		from := time.Now()
		pause(ctx, 2**chaosAckWait)
		w.signal(syscall.SIGCONT)
		c.stopped = append(c.stopped, window{from, time.Now()})
	}},
	{"SIGTERM of a worker", 2, func(_ context.Context, c *chaos) {
		w := c.anyWorker()
		w.awaitReady() // a process that has just begun does not mind signals yet
		if code := w.terminate(); code != 0 {
			c.t.Errorf("%s ended with %d after SIGTERM", w.name, code)
		}
		w.revive()
	}},
	{"connections to NATS cut", 4, func(_ context.Context, c *chaos) { c.proxies[c.random.IntN(len(c.proxies))].cut() }},
	{"a worker cut off from NATS past AckWait, unheard", 2, func(ctx context.Context, c *chaos) {
		p := c.proxies[c.random.IntN(len(c.proxies))]
		p.block()
		pause(ctx, 2**chaosAckWait)
		p.unblock()
	}},
	{"kill -9 of a NATS server", 2, func(_ context.Context, c *chaos) {
		s := c.nats[c.random.IntN(len(c.nats))]
		s.kill()
		s.start()
	}},
	{"SIGSTOP of a NATS server past AckWait", 1, func(ctx context.Context, c *chaos) {
		s := c.nats[c.random.IntN(len(c.nats))]
		s.signal(syscall.SIGSTOP)
		pause(ctx, 2**chaosAckWait)
		s.signal(syscall.SIGCONT)
	}},
	{"a NATS server cut off from the others of its cluster", 2, func(ctx context.Context, c *chaos) {
		if len(c.nats) == 1 {
			return
		}
		from, mine := time.Now(), c.around(c.random.IntN(len(c.nats)))
		for _, link := range mine {
			link.block()
		}
		pause(ctx, 4**chaosAckWait)
		for _, link := range mine {
			link.unblock()
		}
		c.stopped = append(c.stopped, window{from, time.Now()})
	}},
	{"kill -9 of all workers and a NATS server at once", 1, func(_ context.Context, c *chaos) {
		s := c.nats[c.random.IntN(len(c.nats))]
		for _, p := range append(slices.Clone(c.workers), s) {
			p.signal(syscall.SIGKILL)
		}
		for _, p := range append(slices.Clone(c.workers), s) {
			p.wait()
			p.revive()
		}
	}},
	{"the leader of the outcomes stream killed", 1, func(ctx context.Context, c *chaos) {
		s := c.leader(ctx)
		s.kill()
		s.start()
	}},
}

// around returns the links from server i and to it.
func (c *chaos) around(i int) (links []*proxy) {
	for j := range c.nats {
		if j != i {
			links = append(links, c.links[i][j], c.links[j][i])
		}
	}
	return links
}

// leader is the server that leads the stream of outcomes: the only one where there is no cluster.
func (c *chaos) leader(ctx context.Context) *process {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if s, err := c.js.Stream(ctx, "DGBOT_OUTCOMES"); err == nil && s.CachedInfo().Cluster != nil {
		for i, server := range c.nats {
			if s.CachedInfo().Cluster.Leader == fmt.Sprintf("n%d", i) {
				return server
			}
		}
	}
	return c.nats[0]
}

// pause lets time pass: it is what the fault is made of.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// killWriter kills the worker that writes the next record of that kind, as soon as it is stored: between that and what it
// allows to go out. It gives up where no such record comes.
func (c *chaos) killWriter(ctx context.Context, is func(*worker.Record) bool) {
	hit := make(chan *process, 1)
	sub, err := c.nc.Subscribe("dgbot.journal.>", func(m *nats.Msg) {
		var r worker.Record
		if json.Unmarshal(m.Data, &r) != nil || !is(&r) || len(hit) > 0 {
			return
		}
		if w := c.named(r.Writer); w != nil {
			w.signal(syscall.SIGKILL)
			hit <- w
		}
	})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer func() { _ = sub.Unsubscribe() }()
	select {
	case w := <-hit:
		w.kill()
		w.revive()
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
	}
}

// named returns the worker that signed a record, nil if it has ended.
func (c *chaos) named(writer string) *process {
	name, _, _ := strings.Cut(writer, "/")
	for _, w := range c.workers {
		if strings.HasSuffix(name, fmt.Sprintf("-%d", w.pid())) && !w.ended() {
			return w
		}
	}
	return nil
}
