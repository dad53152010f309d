package e2e

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/dgbot/dgbotsim"
	"dgworker/worker/queue"
)

// ledger is what is found on NATS at the end.
type ledger struct {
	outcomes map[string]int // prompt -> how many
	statuses map[worker.Status]int
	buried   map[string]bool // prompts whose outcome is dead
	dead     map[string]bool // prompts that have a dead letter
	fired    map[string]int  // action ids that outcomes name -> how often
	stored   map[string]int  // action ids in the outbox -> under how many subjects
	twice    int             // actions whose log has more than one success
	enqueued map[string]int  // action ids -> messages that the outbox holds of them
	states   map[outbox.State]int
}

// settle waits until every prompt has its outcome and every action is delivered or dead.
func (c *chaos) settle(ctx context.Context, n int) {
	for ctx.Err() == nil {
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
		outcomes: map[string]int{}, statuses: map[worker.Status]int{}, buried: map[string]bool{}, dead: map[string]bool{}, fired: map[string]int{},
		stored: map[string]int{}, states: map[outbox.State]int{}, enqueued: map[string]int{},
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
		if o.Status.Dead() {
			l.buried[o.ID] = true
		}
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
	if err := l.readActions(ctx, c); err != nil {
		return l, err
	}
	return l, l.readTwice(ctx, c)
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
	check("fences of overtaken workers left behind", c.fences(ctx), 0)
	check("dead prompts = failed + interrupted + rejected", len(l.dead), l.statuses[worker.Failed]+l.statuses[worker.Interrupted]+l.statuses[worker.Rejected])
	check("dead letters of prompts that are not dead, and the reverse", c.differ(ctx, l.dead, l.buried), 0)
	check("actions delivered or dead = actions that outcomes name", l.states[outbox.Done]+l.states[outbox.Dead], len(l.fired))
	check("actions named that were never enqueued", missing(l.fired, l.stored), 0)
	check("actions enqueued that no outcome names", missing(l.stored, l.fired), 0)
	check("action ids enqueued twice", repeated(l.enqueued), 0)
	check("action ids known twice", repeated(l.stored)+repeated(l.fired)+l.twice, 0)
	check("visitors who spoke on two connections", c.overlaps(), 0)
	check("visitors who were there twice at once", c.visitorsTwice(ctx), 0)
	check("messages sent again though resend is never", c.resent("never"), 0)
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
		id := promptOf(m)
		if id == "" || !strings.HasPrefix(m.Visitor, "lane-") {
			continue
		}
		if id < last[m.Visitor] {
			n++
			c.t.Logf("lane %s: %s came after %s", m.Visitor, id, last[m.Visitor])
		}
		last[m.Visitor] = id
	}
	return n
}

// readTwice counts how often each action is stored in each state. A second enqueue, which the guard refuses, would be a
// second message under the subject of the first, or another end.
func (l *ledger) readTwice(ctx context.Context, c *chaos) error {
	s, err := c.js.Stream(ctx, "DGBOT_ACTIONS")
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("dgbot.actions.>"))
	if err != nil {
		return err
	}
	for subject, n := range info.State.Subjects {
		l.enqueued[strings.Split(subject, ".")[3]] += int(n)
	}
	return nil
}

// promptOf returns the id of the prompt that a message belongs to; it stands at its end, in brackets.
func promptOf(m dgbotsim.Message) string {
	if open := strings.LastIndexByte(m.Content, '('); open >= 0 {
		return strings.TrimSuffix(m.Content[open+1:], ")")
	}
	return ""
}

// visitorsTwice counts connections of a visitor that were opened while another was open, for the same prompt or another. The
// connection of a worker that is stopped stays open without its doing.
func (c *chaos) visitorsTwice(ctx context.Context) int {
	prompts := map[int64]string{}
	for _, m := range c.sim.Received() {
		if id := promptOf(m); id != "" {
			prompts[m.ConnID] = id
		}
	}
	n := 0
	for _, o := range c.sim.Overlaps() {
		if c.stoodStill(o.At) {
			continue
		}
		n++
		c.t.Logf("visitor %s was there twice at %s, for %q and %q", o.Visitor, o.At.Format(time.StampMilli), prompts[o.Older], prompts[o.Newer])
		c.logVisitor(ctx, o.Visitor)
	}
	if n > 0 {
		c.t.Logf("workers stood still: %v", c.stopped)
	}
	return n
}

// logVisitor logs the journals of that visitor's prompts.
func (c *chaos) logVisitor(ctx context.Context, visitor string) {
	s, err := c.js.Stream(ctx, "DGBOT_JOURNAL")
	if err != nil {
		return
	}
	logged := map[string]bool{}
	for next := uint64(1); ; next++ {
		m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject("dgbot.journal.*"))
		if err != nil {
			return
		}
		next = m.Sequence
		if id := strings.TrimPrefix(m.Subject, "dgbot.journal."); !logged[id] && strings.Contains(string(m.Data), visitor) {
			logged[id] = true
			c.logJournal(ctx, id)
		}
	}
}

// stoodStill says whether a worker was stopped at that time, or had only just gone on.
func (c *chaos) stoodStill(at time.Time) bool {
	for _, w := range c.stopped {
		if at.After(w.from) && at.Before(w.to.Add(time.Second)) {
			return true
		}
	}
	return false
}

// fences counts what is stored beside the outcomes.
func (c *chaos) fences(ctx context.Context) int {
	s, err := c.js.Stream(ctx, "DGBOT_OUTCOMES")
	if err != nil {
		c.t.Fatal(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("dgbot.fences.>"))
	if err != nil {
		c.t.Fatal(err)
	}
	return len(info.State.Subjects)
}

// resent counts messages that the bot of that key received more than once.
func (c *chaos) resent(key string) int {
	seen := map[string]int{}
	for _, m := range c.sim.Received() {
		if m.Key == key {
			seen[m.Content]++
		}
	}
	return repeated(seen)
}

// differ counts the prompts that are in one set alone, and logs what their journals say.
func (c *chaos) differ(ctx context.Context, a, b map[string]bool) int {
	n := 0
	for _, sets := range [][2]map[string]bool{{a, b}, {b, a}} {
		for id := range sets[0] {
			if sets[1][id] {
				continue
			}
			n++
			c.t.Logf("prompt %s: dead letter %t, dead outcome %t", id, a[id], b[id])
			c.logJournal(ctx, id)
		}
	}
	return n
}

func (c *chaos) logJournal(ctx context.Context, id string) {
	s, err := c.js.Stream(ctx, "DGBOT_JOURNAL")
	if err != nil {
		return
	}
	for next := uint64(1); ; next++ {
		m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject("dgbot.journal."+id))
		if err != nil {
			return
		}
		c.t.Logf("journal of %s at %d: %s", id, m.Sequence, m.Data)
		next = m.Sequence
	}
}
