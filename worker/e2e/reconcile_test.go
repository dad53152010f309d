package e2e

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// ledger is what is found on NATS at the end.
type ledger struct {
	outcomes map[string]int // prompt -> how many
	statuses map[worker.Status]int
	dead     map[string]bool // prompts
	fired    map[string]int  // action ids that outcomes name -> how often
	stored   map[string]int  // action ids in the outbox -> under how many subjects
	twice    int             // actions whose log has more than one success
	states   map[outbox.State]int
}

// settle waits until every prompt has its outcome and every action is delivered or dead.
func (c *chaos) settle(ctx context.Context, n int) {
	for ctx.Err() == nil {
		for _, w := range c.workers {
			w.revive()
		}
		l, err := c.read(ctx)
		if err == nil && len(l.outcomes) >= n && l.states[outbox.Done]+l.states[outbox.Dead] >= len(l.fired) {
			return
		}
		pause(ctx, 500*time.Millisecond)
	}
	c.t.Error("not everything ended in time")
}

func (c *chaos) read(ctx context.Context) (*ledger, error) {
	l := &ledger{
		outcomes: map[string]int{}, statuses: map[worker.Status]int{}, dead: map[string]bool{}, fired: map[string]int{},
		stored: map[string]int{}, states: map[outbox.State]int{},
	}
	prompts, err := queue.OpenArchive(ctx, c.js, "dgbot")
	if err != nil {
		return l, err
	}
	for o, err := range prompts.Outcomes(ctx, queue.Filter{}) {
		if err != nil {
			return l, err
		}
		l.outcomes[o.ID]++
		l.statuses[o.Status]++
		for _, f := range o.Fired {
			if f.Action != "reply" {
				l.fired[f.ID]++
			}
		}
	}
	for o, err := range prompts.Dead(ctx, queue.Filter{}) {
		if err != nil {
			return l, err
		}
		l.dead[o.ID] = true
	}
	return l, l.readActions(ctx, c)
}

func (l *ledger) readActions(ctx context.Context, c *chaos) error {
	actions, err := outbox.OpenArchive(ctx, c.js, "dgbot")
	if err != nil {
		return err
	}
	for item, err := range actions.List(ctx, outbox.Filter{}) {
		if err != nil {
			return err
		}
		l.stored[item.Delivery.ID]++
		l.states[item.State]++
		successes := 0
		for _, a := range item.Attempts {
			if a.Class == "delivered" {
				successes++
			}
		}
		if successes > 1 {
			l.twice++
		}
	}
	return nil
}

// reconcile prints the books and fails where they don't balance.
func (c *chaos) reconcile(ctx context.Context) {
	l, err := c.read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	check := func(what string, got, want int) {
		mark := "ok"
		if got != want {
			mark = "WRONG"
			c.t.Errorf("%s: %d, want %d", what, got, want)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", what, got, want, mark)
	}
	accepted := len(c.accepted)
	check("outcomes = prompts accepted", len(l.outcomes), accepted)
	check("outcomes of prompts that were not accepted", extra(l.outcomes, c.accepted), 0)
	check("prompts with more than one outcome", repeated(l.outcomes), 0)
	check("dead prompts = failed + interrupted + rejected", len(l.dead), l.statuses[worker.Failed]+l.statuses[worker.Interrupted]+l.statuses[worker.Rejected])
	check("actions delivered or dead = actions that outcomes name", l.states[outbox.Done]+l.states[outbox.Dead], len(l.fired))
	check("actions named that were never enqueued", missing(l.fired, l.stored), 0)
	check("actions enqueued that no outcome names", missing(l.stored, l.fired), 0)
	check("action ids enqueued twice", repeated(l.stored)+repeated(l.fired)+l.twice, 0)
	check("visitors whose conversations overlapped", c.overlaps(), 0)
	check("order violations within a lane", c.disorder(), 0)
	ids, again, forged := c.receiver.counts()
	check("webhooks with a wrong signature", forged, 0)
	if err := w.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("reconciliation:\n%s\nstatuses %v\nfaults %v\nbot: %+v\nreceiver accepted %d ids, %d of them again after a kill or a cut",
		b.String(), l.statuses, c.played, c.sim.Stats(), ids, again)
}

func extra(got map[string]int, want map[string]bool) int {
	n := 0
	for id := range got {
		if !want[id] {
			n++
		}
	}
	return n
}

func missing(want, got map[string]int) int {
	n := 0
	for id := range want {
		if got[id] == 0 {
			n++
		}
	}
	return n
}

func repeated(m map[string]int) int {
	n := 0
	for _, times := range m {
		if times > 1 {
			n++
		}
	}
	return n
}

// overlaps counts visitors that spoke on an older connection after a newer one had opened. A connection that merely stays
// open, of a worker that is stopped, is none.
func (c *chaos) overlaps() int {
	n := 0
	for _, o := range c.sim.Overlaps() {
		if o.Active {
			n++
		}
	}
	return n
}

// disorder counts messages that came before one that was sent earlier in the same lane.
func (c *chaos) disorder() int {
	last, n := map[string]string{}, 0
	for _, m := range c.sim.Received() {
		open := strings.LastIndexByte(m.Content, '(')
		if !strings.HasPrefix(m.Visitor, "lane-") || open < 0 {
			continue
		}
		id := strings.TrimSuffix(m.Content[open+1:], ")")
		if id < last[m.Visitor] {
			n++
			c.t.Logf("lane %s: %s came after %s", m.Visitor, id, last[m.Visitor])
		}
		last[m.Visitor] = id
	}
	return n
}
