package worker

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"dgworker/worker/dgbot"
)

// open sends what the step wants sent, after its sent mark, while the conversation's own goroutine already reads: what
// the bot says before our message is a greeting and settles nothing.
func (c *conversation) open(st step) {
	switch st.move {
	case send:
		c.say(st.message, len(c.state.Turns))
	case resend:
		c.say(st.message, len(c.state.Turns)-1)
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.listen(st.until)
	}
}

// listen takes up a turn that was cut off, or the wait for a person.
func (c *conversation) listen(until time.Time) {
	heard := len(c.early) > 0
	c.begin(false)
	switch {
	case c.stop != nil:
	case heard:
		c.armSettle()
	default:
		c.quiet.arm(until, c.onQuiet)
	}
}

// say puts the sent mark into the journal and then the message on the socket.
func (c *conversation) say(message string, turn int) {
	mark := &Sent{Turn: turn, Message: message, VisitorID: c.state.VisitorID}
	err := c.append(&Record{Sent: mark})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.endLocked(&stop{err: err})
		return
	}
	if c.stop != nil {
		return
	}
	c.turn = newTurn(c.bot.MaxTranscript)
	c.state.send(mark)
	c.show(&Live{Type: "visitor", Content: message})
	if err := c.conn.Send(c.ctx, message); err != nil {
		c.lost = true
		c.endLocked(&stop{err: fmt.Errorf("%w: %w", errCut, err)})
		return
	}
	c.begin(true)
}

// begin takes up what came before this step began, and starts the clock of the turn.
func (c *conversation) begin(greeting bool) {
	early := c.early
	c.early = nil
	for i := range early {
		c.take(&early[i], greeting)
	}
	c.begun = true
	c.armLimit()
}

// step takes what the socket gave and says whether to read on.
func (c *conversation) step(f dgbot.Frame, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stop != nil:
	case c.ctx.Err() != nil: // whoever hangs up may not have come to say so yet: see letGo
		c.endLocked(&stop{})
	case err != nil:
		c.onCut(err)
	case !c.begun:
		c.keep(f)
	default:
		c.take(&f, false)
		if c.stop == nil {
			c.armSettle()
		}
	}
	return c.stop == nil
}

// keep keeps a frame that came before our message, up to the limits of a conversation.
func (c *conversation) keep(f dgbot.Frame) {
	if len(c.early) >= c.bot.MaxEvents {
		c.endLocked(failed("the bot said more than %d frames before our first message (max_events)", c.bot.MaxEvents))
		return
	}
	f.Raw = bytes.Clone(f.Raw)
	c.early = append(c.early, f)
}

// take works one frame into the turn.
func (c *conversation) take(f *dgbot.Frame, greeting bool) {
	c.resumeBy = time.Time{}
	c.showFrame(f)
	switch f.Type {
	case "stream_start":
		c.turn.start(f, greeting)
	case "stream_chunk":
		c.turn.chunk(f, greeting)
	case "stream_end":
		said := c.turn.finish(f, greeting)
		c.state.say(said)
		c.pending.Said = append(c.pending.Said, said)
		if c.streams++; c.streams > c.bot.MaxEvents {
			c.endLocked(failed("the bot sent more than %d streams (max_events)", c.bot.MaxEvents))
		}
	default:
		c.onEvent(f, greeting)
	}
}

// onCut takes the loss of the socket: a turn that had all it needs is over; about any other the plan decides.
func (c *conversation) onCut(err error) {
	c.lost = true
	if errors.Is(err, dgbot.ErrFrameTooBig) {
		c.endLocked(failed("the bot sent a frame of more than %d bytes (max_frame)", c.bot.MaxFrame))
		return
	}
	if c.begun && c.turn.settled() {
		c.settle()
	}
	c.endLocked(&stop{err: fmt.Errorf("%w: %w", errCut, err)})
}
