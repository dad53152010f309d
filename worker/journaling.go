package worker

import (
	"context"
	"errors"
	"maps"
	"time"

	"dgworker/rules"
	"dgworker/sinks"
)

// journal stores what is pending and sends on its way what fired. The caller holds mu.
func (c *conversation) journal() {
	if c.record(&Record{}) {
		c.enqueue()
	}
}

// record stores r together with what is pending; if that fails the run is over. The caller holds mu.
func (c *conversation) record(r *Record) bool {
	if err := c.append(r); err != nil {
		c.endLocked(&stop{err: err})
		return false
	}
	return true
}

// append stores r behind what is pending. It is the only place that writes the journal of a live conversation.
func (c *conversation) append(r *Record) error {
	c.flush.disarm()
	c.sign(r)
	r.Said, r.Seen, r.Handoff = c.pending.Said, c.pending.Seen, c.pending.Handoff
	asked := time.Now()
	seq, err := c.w.Journal.Append(c.ctx, c.p.ID, c.state.Last, r)
	if errors.Is(err, ErrTooLarge) && c.slim() {
		return c.append(r)
	}
	if err != nil {
		return err
	}
	c.pending, c.leased = Record{}, asked
	c.state.stored(r, seq)
	if time.Since(asked) > c.w.Lease {
		// Paused between the question and the answer, perhaps for long enough to have been overtaken: nothing may go out
		// on the strength of this append before the journal has been asked again.
		return c.confirm()
	}
	return nil
}

// slim makes what is pending small enough for a record that NATS takes: first without frames as they came, then without
// the actions of the rules, which fail for that reason. It returns false if there is nothing more to leave out.
func (c *conversation) slim() bool {
	slimmed := false
	for i := range c.pending.Seen {
		slimmed = slimmed || c.pending.Seen[i].Raw != nil
		c.pending.Seen[i].Raw = nil
	}
	return slimmed || c.refuseActions()
}

func (c *conversation) refuseActions() bool {
	refused := false
	for i := range c.pending.Seen {
		for j := range c.pending.Seen[i].Decisions {
			d := &c.pending.Seen[i].Decisions[j]
			for _, a := range d.Actions {
				refused = true
				c.state.forget(a.ID)
			}
			if len(d.Actions) > 0 {
				*d = rules.Decision{Rule: d.Rule, Result: rules.Error, Reason: "the actions that this event asks for are together larger than NATS's max_payload"}
			}
		}
	}
	return refused
}

func (c *conversation) sign(r *Record) {
	r.At, r.Writer, r.Rules, r.Place, r.Hold = now(), c.w.writer(), c.set.Version(), c.p.Place, c.p.Hold
}

// confirm finds out by another append whether this worker still is the one that writes.
func (c *conversation) confirm() error {
	r, asked := new(Record), time.Now()
	c.sign(r)
	seq, err := c.w.Journal.Append(c.ctx, c.p.ID, c.state.Last, r)
	if err == nil {
		c.leased = asked
		c.state.stored(r, seq)
	}
	return err
}

// onFlush rings when an event has waited long enough for a record that it could have ridden on.
func (c *conversation) onFlush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop == nil && c.flush.due() && len(c.pending.Seen) > 0 {
		c.journal()
	}
}

// enqueue hands the actions that are journaled and not yet handed over to the outbox. The enqueue is guarded there, so
// doing it again after a crash stores nothing twice.
func (c *conversation) enqueue() {
	if err := c.w.enqueue(c.ctx, c.p, c.state); err != nil {
		c.endLocked(&stop{err: err})
	}
}

func (w *Worker) enqueue(ctx context.Context, p *Prompt, s *State) error {
	for len(s.actions) > 0 {
		a := s.actions[0]
		if err := w.Outbox.Enqueue(ctx, delivery(p, a, s.asked[a.ID])); err != nil {
			return err
		}
		s.actions = s.actions[1:]
		delete(s.asked, a.ID)
	}
	return nil
}

// delivery is an action as the outbox carries it. What is published passes on the prompt's count of hops, so that a trigger
// that reads it can't go round for ever.
func delivery(p *Prompt, a rules.Action, by asked) sinks.Delivery {
	if hops := p.Headers[HeaderHops]; hops != "" && a.Kind == rules.KindPublish {
		a.Headers = maps.Clone(a.Headers)
		if a.Headers == nil {
			a.Headers = map[string]string{}
		}
		a.Headers[HeaderHops] = hops
	}
	return sinks.Delivery{
		ID: a.ID, Endpoint: a.Endpoint, Rule: a.Rule, Prompt: p.ID, Bot: p.Bot, Event: string(by.event), CreatedAt: by.at,
		Method: a.Method, Path: a.Path, Query: a.Query, Order: a.Order, Subject: a.Subject, Headers: a.Headers, Body: a.Body,
	}
}
