package worker

import (
	"context"
	"errors"
	"maps"
	"time"

	"go.uber.org/zap"

	"dgworker/rules"
)

// reject ends a prompt that is not valid. It has an outcome like any other, and no conversation.
func (c *conversation) reject(ctx context.Context, why error) error {
	settled, err := c.w.Outcomes.Settled(ctx, c.p.ID)
	switch {
	case err != nil:
		return err
	case settled:
		c.w.Metrics.duplicate(c.label)
		return errSettled
	}
	// The journal is what finds out that an id was used before, so a rejected prompt has one too.
	err = c.append(&Record{Reject: why.Error()})
	if errors.Is(err, ErrFenced) && c.state.Last == 0 && c.ctx.Err() == nil {
		err = c.rejectAgain(ctx, why)
	}
	if err != nil {
		return err
	}
	if c.state.StartedAt.IsZero() {
		c.state.StartedAt = now()
	}
	return c.publish(*c.state.Ended)
}

// rejectAgain takes up the journal of a prompt that is not valid. It may be that of another message with the same id, whose
// outcome must not be taken from it; that of a rejection which was cut off; or that of a conversation which began while
// other rules were in use, and whose actions were promised.
func (c *conversation) rejectAgain(ctx context.Context, why error) error {
	if err := c.readJournal(ctx); err != nil {
		return err
	}
	if err := c.w.enqueue(ctx, c.p, c.state); err != nil {
		return err
	}
	if c.state.Ended == nil {
		if err := c.append(&Record{Reject: why.Error()}); err != nil {
			return err
		}
	}
	return c.takeOver()
}

// finish tells the rules that the conversation is over, sends on its way what they ask for, and publishes the outcome.
func (c *conversation) finish(e Ending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.StartedAt.IsZero() {
		c.state.StartedAt = now()
	}
	if c.state.Ended == nil {
		fired := c.put(rules.Event{Type: rules.ConversationEnded, Status: string(e.Status), Message: e.Reason}, nil, 0)
		// That a prompt is dead is journaled before its dead letter is written, so that nobody ends it otherwise.
		if fired || e.Status.Dead() {
			if err := c.append(&Record{}); err != nil {
				return err
			}
		}
	}
	if err := c.w.enqueue(c.ctx, c.p, c.state); err != nil {
		return err
	}
	return c.publish(e)
}

func (c *conversation) publish(e Ending) error {
	o := c.outcome(e)
	if err := c.publishLeased(o); err != nil {
		return err
	}
	c.w.Metrics.ended(c.label, o)
	c.log.Info("conversation ended", zap.String("status", string(o.Status)), zap.String("reason", o.Reason),
		zap.Int("turns", len(o.Turns)), zap.Int("events", c.state.Session.Ordinal()), zap.Int("fired", len(o.Fired)),
		zap.Int("attempts", o.Attempts), zap.Duration("took", o.EndedAt.Sub(o.StartedAt.Time)))
	return errSettled
}

// publishLeased publishes the outcome while the prompt is known to be this worker's: NATS has heard of it lately, or the lease of
// the last append runs. Where neither is so, it asks the journal. The outcome of one that was overtaken is refused by the fence of
// who took over, see Outcomes.TakeOver; the lease is for a stream of somebody's own that holds no fences. It can't bound
// what is under way already.
func (c *conversation) publishLeased(o *Outcome) error {
	for {
		ctx, cancel := context.WithDeadlineCause(c.ctx, c.ours(), errLeaseOver)
		err := context.Cause(ctx)
		if err == nil {
			err = c.w.Outcomes.Publish(ctx, o, c.p.ReplyTo, c.fence)
		}
		over := errors.Is(context.Cause(ctx), errLeaseOver)
		cancel()
		if err == nil || errors.Is(err, ErrFenced) || !over {
			return err
		}
		if err := c.append(&Record{}); err != nil {
			return err
		}
	}
}

// ours is until when nobody else goes on in our place.
func (c *conversation) ours() time.Time {
	at := c.leased.Add(c.w.Lease)
	if c.until != nil {
		if heard := c.until(); heard.After(at) {
			at = heard
		}
	}
	return at
}

// errLeaseOver is the cause with which a publish ends that took too long to be known to be ours to make.
var errLeaseOver = errors.New("the lease of the last append is over")

// outcome is the state as it is published.
func (c *conversation) outcome(e Ending) *Outcome {
	s, conv := c.state, c.state.Session.Conversation()
	o := &Outcome{
		ID: c.p.ID, Bot: c.p.Bot, VisitorID: s.VisitorID, Status: e.Status, Reason: e.Reason,
		Prompt: PromptRecord{
			Content: c.p.Content, Messages: c.p.Messages, Data: c.p.Data, Headers: c.p.Headers, Lane: c.p.Lane, VisitorID: c.p.VisitorID,
		},
		Greeting: s.Greeting, Turns: s.Turns, Events: s.Loose, Tools: maps.Clone(conv.Tools),
		Fired: []Fired{}, Suppressed: []Suppressed{}, Errors: []RuleError{}, Shadow: []Fired{},
		Attempts: max(s.Attempt, 1), History: s.Failures, RetryOf: c.p.RetryOf,
		RulesVersion: c.set.Version(), Worker: c.w.Name, Writer: c.w.writer(),
		StartedAt: Time{Time: s.StartedAt}, EndedAt: Time{Time: now()}, Truncated: s.Truncated,
	}
	if e.Status == Rejected { // nobody talked to the bot
		o.Attempts, o.VisitorID = 0, c.p.VisitorID
	}
	if len(s.Versions) > 1 {
		o.Versions = s.Versions
	}
	if len(o.Prompt.Messages) == 1 {
		o.Prompt.Messages = nil
	}
	if o.Turns == nil {
		o.Turns = []Turn{}
	}
	for i := range s.Turns {
		for _, seen := range s.Turns[i].Events {
			o.decided(seen)
		}
		if s.Turns[i].Settled && s.Turns[i].said {
			o.Response = s.Turns[i].Response
		}
	}
	for _, seen := range s.Loose {
		o.decided(seen)
	}
	if e.Status == Rejected {
		o.Prompt.Payload = string(c.p.payload[:min(len(c.p.payload), 64<<10)])
	}
	return o
}

// decided lists the decisions about one event.
func (o *Outcome) decided(seen rules.Seen) {
	for _, d := range seen.Decisions {
		switch d.Result {
		case rules.Fired:
			o.Fired = append(o.Fired, fired(seen, d)...)
		case rules.Shadow:
			o.Shadow = append(o.Shadow, fired(seen, d)...)
		case rules.Error:
			o.Errors = append(o.Errors, RuleError{d.Rule, d.Reason, seen.Type, seen.N})
		default:
			o.Suppressed = append(o.Suppressed, Suppressed{d.Rule, d.Result, Time{Time: d.Until}, d.Reason, seen.Type, seen.N})
		}
	}
}

func fired(seen rules.Seen, d rules.Decision) []Fired {
	out := make([]Fired, 0, len(d.Actions))
	for _, a := range d.Actions {
		out = append(out, Fired{Rule: d.Rule, Action: a.Kind, Endpoint: a.Endpoint, Subject: a.Subject, ID: a.ID, Event: seen.Type, N: seen.N})
	}
	return out
}

// dispose turns what Handle came to into what becomes of the message, and says so where somebody would ask.
func (w *Worker) dispose(c *conversation, err error) Disposition {
	var l later
	switch {
	case errors.Is(err, errSettled):
		return Disposition{Verb: Ack}
	case errors.As(err, &l):
		return Disposition{Verb: Nak, After: l.after}
	case errors.Is(err, ErrFenced), errors.Is(context.Cause(c.ctx), ErrFenced):
		w.Metrics.fenced.Inc()
		c.log.Warn("overtaken: another worker holds this prompt, or may; nothing more is done for it here", zap.Error(errors.Join(err, context.Cause(c.ctx))))
		return Disposition{Verb: Leave}
	case c.ctx.Err() != nil:
		c.giveBack()
		return Disposition{Verb: Nak}
	}
	c.log.Error("prompt could not be handled: left for another try", zap.Error(err))
	return Disposition{Verb: Nak, After: backoff(3)}
}

// lastWord is how long a worker that stops may take to journal what it knows.
const lastWord = 2 * time.Second

// giveBack journals, with a little time of its own, that this worker let go on purpose: that counts no attempt.
func (c *conversation) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Last == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), lastWord)
	defer cancel()
	c.ctx = ctx
	if err := c.append(&Record{Back: "the worker is stopping"}); err != nil {
		c.log.Warn("prompt handed back without a word in its journal: it counts an attempt", zap.Error(err))
	}
	c.log.Info("prompt handed back", zap.Int("turns", len(c.state.Turns)))
}
