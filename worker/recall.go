package worker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// recall makes sure that the prompt is this worker's to run, and takes up what was journaled before.
//
// A prompt that was never delivered before has no journal in all likelihood: its first append, which expects none, is
// the question and the claim in one. Only when that is refused, or the message says that it came before, is the journal
// read. A prompt that names its visitor is claimed before the socket is opened, though: another worker may have it, in
// spite of what the message says, and the visitor must not be there twice even for a moment.
func (c *conversation) recall(ctx context.Context, again bool) error {
	if !again && c.p.VisitorID == "" {
		return nil
	}
	return c.readBack(ctx)
}

// readBack folds the journal into the state, sends on its way what fired, and begins another attempt.
func (c *conversation) readBack(ctx context.Context) error {
	if settled, err := c.w.Outcomes.Settled(ctx, c.p.ID); settled || err != nil {
		return c.alreadySettled(err)
	}
	if err := c.readJournal(ctx); err != nil {
		return err
	}
	if c.isLate() {
		return ErrFenced
	}
	if err := c.w.enqueue(ctx, c.p, c.state); err != nil {
		return err
	}
	return c.beginAgain()
}

// readJournal folds the journal into the state, unless it is another message's.
func (c *conversation) readJournal(ctx context.Context) error {
	c.state, c.pending = NewState(c.p, c.state.VisitorID, c.set, c.bot), Record{}
	if err := c.w.Journal.Read(ctx, c.p.ID, c.state.Apply); err != nil {
		return err
	}
	if c.isDuplicate() {
		c.log.Info("another message with this id is being handled: this one waits for its outcome")
		return later{duplicateWait}
	}
	return nil
}

// duplicateWait is how long a duplicate waits before it looks for the outcome of the first.
const duplicateWait = 5 * time.Second

// isDuplicate says whether the journal is that of another message with the same id, which is not to be taken away from
// whoever handles it: its own redelivery brings it back if they die. One that nobody has touched for longer than a
// conversation can take was lost by other means, and is taken over after all.
func (c *conversation) isDuplicate() bool {
	if c.state.Last == 0 || c.state.Place == c.p.Place {
		return false
	}
	return time.Since(c.state.LastAt) < c.bot.ConversationTimeout+c.bot.HandoffWait+time.Hour
}

// isLate says whether the journal was written by a later delivery of this message, or by this very one in another process
// (which a NATS server that was killed hands out twice). That writer lives, or its own redelivery brings the prompt back.
// A job that doesn't say which delivery it is is taken at its word.
func (c *conversation) isLate() bool {
	return c.p.Hold != Hold{} && c.state.Place == c.p.Place && !c.p.Hold.after(c.state.Hold)
}

// awaitHolder makes sure that whoever wrote last is not in the middle of the conversation: a visitor is in one at a time.
func (c *conversation) awaitHolder() error {
	last := identity(c.state.Writer)
	if last == c.w.born || c.w.Peers == nil {
		return nil // it let go, or this worker would not have the prompt
	}
	holds, err := c.w.Peers.Holds(c.ctx, last, c.p.ID)
	switch {
	case err != nil:
		return err
	case holds:
		return fmt.Errorf("%w: it is alive and goes on", ErrFenced)
	}
	return c.awaitLease()
}

// awaitLease waits while another worker has written so lately that it may be at work still: see publishLeased. One that died
// is found out only after AckWait, and then this is over. Clocks may differ: whatever that record's says, it is no later
// than now, and the fence of the next append tells whether more came meanwhile.
func (c *conversation) awaitLease() error {
	left := min(time.Until(c.state.LastAt.Add(c.w.Lease)), c.w.Lease)
	if left <= 0 {
		return nil
	}
	return sleep(c.ctx, left, nil)
}

// takeOver keeps out the outcome of whoever had the prompt before, which may be under way still: their last words reach NATS
// late where the network held them up. If it was there first, that is how the prompt ended.
func (c *conversation) takeOver() error {
	fence, settled, err := c.w.Outcomes.TakeOver(c.ctx, c.p.ID, c.state.Last)
	if settled || err != nil {
		return c.alreadySettled(err)
	}
	c.fence = fence
	return nil
}

// alreadySettled says that the prompt has its outcome, unless err says that nobody knows.
func (c *conversation) alreadySettled(err error) error {
	if err != nil {
		return err
	}
	c.w.Metrics.duplicate(c.label)
	c.log.Info("prompt has its outcome already: not run again")
	return errSettled
}

// beginAgain counts the attempt of a worker that ended without a word, and claims the prompt with the next one.
func (c *conversation) beginAgain() error {
	s := c.state
	if s.Ended != nil {
		return c.takeOver()
	}
	begun, fresh := &Begun{Attempt: max(s.Attempt, 1)}, s.Last == 0
	switch {
	case fresh:
	case s.open:
		if err := c.awaitHolder(); err != nil {
			return err
		}
		begun.Lost = &Failure{Attempt: s.Attempt, At: now(), Reason: "the worker ended without a word, or was overtaken"}
		begun.Attempt++
	case len(s.Failures) > 0 && s.Failures[len(s.Failures)-1].Attempt == s.Attempt:
		if wait := time.Until(s.Failures[len(s.Failures)-1].NotBefore); wait > time.Second/10 {
			return later{wait}
		}
		begun.Attempt++
	}
	if err := c.append(&Record{Begun: begun}); err != nil {
		return err
	}
	if !fresh {
		if err := c.takeOver(); err != nil {
			return err
		}
		c.log.Info("prompt taken up again", zap.Int("attempt", begun.Attempt), zap.Int("turns", len(s.Turns)))
	}
	if n := len(s.Failures); n >= c.bot.MaxAttempts {
		return c.finish(Ending{Failed, fmt.Sprintf("attempt %d of %d: %s", n, c.bot.MaxAttempts, s.Failures[n-1].Reason)})
	}
	return nil
}
