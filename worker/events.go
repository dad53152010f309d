package worker

import (
	"context"
	"errors"
	"time"

	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// maxRaw bounds the frame that rules see as event.raw, in bytes: a larger one is left out, and the outcome says that
// something was cut.
const maxRaw = 64 << 10

// onEvent puts a frame that is not part of a stream to the rules.
func (c *conversation) onEvent(f *dgbot.Frame, greeting bool) {
	e := rules.Event{
		Type: rules.EventType(f.Type), Tool: f.Tool, Status: f.Status,
		Message: f.Message, Content: f.Content, AgentName: f.AgentName, Raw: c.raw(f.Raw),
	}
	if !f.Known {
		e = rules.Event{Type: rules.Unknown, Raw: e.Raw}
	}
	if !greeting {
		c.turn.note(e.Type, e.Tool, e.Status)
	}
	if e.Type == rules.HandoffOffered && !c.state.Offered && c.bot.OnHandoff == "wait" {
		c.awaitPerson()
	}
	first := !c.state.shown
	fired := c.put(e, nil, len(f.Raw))
	switch {
	case c.stop != nil:
	case c.state.Session.Ordinal() > c.bot.MaxEvents:
		c.endLocked(failed("the conversation had more than %d events (max_events)", c.bot.MaxEvents))
	case first || fired || e.Type == rules.HandoffOffered:
		c.journal()
	case c.flush.at.IsZero():
		c.flush.arm(time.Now().Add(flushAfter), c.onFlush)
	}
	if c.stop == nil && c.state.waiting(c.bot) && c.state.AgentLeft {
		c.endLocked(&stop{ending: &Ending{Status: Handoff}})
	}
}

func (c *conversation) raw(b []byte) map[string]any {
	if len(b) > maxRaw {
		c.state.Truncated = true
		return nil
	}
	v, err := decodeNumbers(b)
	if err != nil {
		return nil
	}
	m, _ := v.(map[string]any)
	return m
}

// awaitPerson begins the wait for a person, whose end is journaled so that whoever goes on keeps to it. The clock of the
// turn rests meanwhile.
func (c *conversation) awaitPerson() {
	until := now().Add(c.bot.HandoffWait)
	c.state.HandoffAt, c.pending.Handoff = until, &until
	c.armLimit()
}

// put puts one event to the rules and keeps it; it says whether a rule fired. What fired goes out with the next journal.
// size is what the event takes of the transcript, in bytes.
func (c *conversation) put(e rules.Event, r *rules.Response, size int) bool {
	e.At = now()
	var claims rules.Claims
	if c.w.Claims != nil {
		claims = c
	}
	seen, decisions := c.state.Session.Put(c.ctx, c.set, claims, e, r)
	c.limitReplies(&seen)
	c.state.fitEvent(&seen, size)
	c.w.Metrics.decided(e.Type, decisions)
	c.state.see(seen)
	c.showFired(seen.Decisions)
	c.pending.Seen = append(c.pending.Seen, seen)
	for _, d := range seen.Decisions {
		if d.Result == rules.Fired {
			return true
		}
	}
	return false
}

// Claim asks the workers' shared memory for what a rule needs: see rules.Claims. A worker that stops while it asks is given the time
// of its last word for it, or that word would be that the rule failed.
func (c *conversation) Claim(ctx context.Context, key, holder string, ttl time.Duration) (granted bool, until time.Time, err error) {
	granted, until, err = c.w.Claims.Claim(ctx, key, holder, ttl)
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrFenced) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
		defer cancel()
		return c.w.Claims.Claim(last, key, holder, ttl)
	}
	return granted, until, err
}

// settle ends the turn: its last stream is the response, and the plan says what comes next.
func (c *conversation) settle() {
	c.quiet.disarm()
	t := c.state.turn()
	if c.turn.ended > 0 {
		if c.put(rules.Event{Type: rules.FinalResponse}, c.state.response(), 0) {
			c.journal()
		}
	} else {
		t.Settled = true
	}
	if c.stop != nil {
		return
	}
	c.turn.ended, c.turn.offered, c.turn.awaiting = 0, false, true
	st := c.state.plan(c.bot)
	switch {
	case st.move == finish:
		c.endLocked(&stop{ending: &st.ending})
	case c.lost: // the plan goes on with another socket
	case st.move == send:
		c.sayNext(st.message)
	default:
		c.armLimit()
		c.quiet.arm(st.until, c.onQuiet)
	}
}

// sayNext sends the next message on the socket that is open.
func (c *conversation) sayNext(message string) {
	mark := &Sent{Turn: len(c.state.Turns), Message: message, VisitorID: c.state.VisitorID}
	if !c.record(&Record{Sent: mark}) {
		return
	}
	c.turn = newTurn(c.bot.MaxTranscript)
	c.state.send(mark)
	c.show(&Live{Type: "visitor", Content: message})
	if err := c.conn.Send(c.ctx, message); err != nil {
		c.onCut(err)
		return
	}
	c.armLimit()
}

// armSettle starts the quiet time that ends a turn, if nothing is open any more; whatever comes starts it anew.
func (c *conversation) armSettle() {
	switch {
	case c.turn.settled() && c.bot.Settle <= 0:
		c.settle()
	case c.turn.settled():
		c.quiet.arm(time.Now().Add(c.bot.Settle), c.onQuiet)
	case c.turn.awaiting: // a person has the conversation until their deadline
		c.quiet.arm(c.state.HandoffAt, c.onQuiet)
	default:
		c.quiet.disarm()
	}
}

// onQuiet rings when nothing came for as long as was waited for.
func (c *conversation) onQuiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stop != nil || !c.quiet.due():
	case c.turn.settled():
		c.settle()
	case c.turn.awaiting || c.state.waiting(c.bot):
		c.endLocked(&stop{ending: &Ending{Status: Handoff}})
	default:
		c.endLocked(&stop{ending: c.unheard()})
	}
}

func interrupted(bot *rules.Bot) *Ending {
	return &Ending{Interrupted, "the turn was cut off after it had shown something, and nothing more came within " + bot.ResumeWait.String() + " (resume_wait)"}
}
