package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// conversation is one prompt while this worker holds it. One goroutine reads the socket; timers run short steps of their
// own. Everything below mu is touched by both.
type conversation struct {
	w     *Worker
	p     *Prompt
	bot   *rules.Bot
	set   *rules.Set
	line  *Line
	label string // of metrics
	log   *zap.Logger
	ctx   context.Context // ends when the prompt is to be handed back

	mu       sync.Mutex
	state    *State
	conn     *dgbot.Conn
	turn     liveTurn
	streams  int       // that ended, over the whole conversation
	pending  Record    // what happened and is not in the journal yet
	leased   time.Time // when the last append was asked for: for Config.Lease from then nobody else goes on in our place
	stop     *stop     // set when this socket's run is over
	quiet    alarm     // the turn has settled, or nobody came
	limit    alarm     // the turn, the conversation or the prompt took too long
	flush    alarm     // pending has waited long enough
	overAt   time.Time // when the conversation as a whole must be over
	resumeBy time.Time // until when a turn that was cut off is listened for, over as many sockets as it takes
	early    []dgbot.Frame
	begun    bool // our message of this step is out: what comes now answers it
	lost     bool // the socket is gone
}

// stop is why the run of one socket is over.
type stop struct {
	ending *Ending // the conversation has ended so
	err    error   // or this happened to it: errCut, ErrFenced, or the context's cause
}

// errCut says that the socket was lost; what that means is for the plan to say.
var errCut = errors.New("connection cut")

// flushAfter is how long an event that fired nothing may wait for a record that it can ride on.
const flushAfter = 250 * time.Millisecond

// run carries out one step of the plan over one socket, which is open, and returns when the socket has served.
func (c *conversation) run(st step, conn *dgbot.Conn) (why *stop) {
	c.reset(conn)
	defer context.AfterFunc(c.ctx, func() { c.end(&stop{err: context.Cause(c.ctx)}) })()
	opened := aside(func() { c.open(st) })
	defer func() { // also where a panic passes by: socket and alarms would outlive the prompt
		conn.Close()
		<-opened
		badJSON, binary := conn.Skipped()
		c.w.Metrics.skipped(c.label, badJSON, binary)
		why = c.hangUp()
	}()
	for c.step(conn.Read()) {
	}
	return nil
}

// hangUp stops what could still happen to a socket that has served, and returns why it has.
func (c *conversation) hangUp() *stop {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet.disarm()
	c.limit.disarm()
	c.flush.disarm()
	return c.stop
}

func (c *conversation) reset(conn *dgbot.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.stop, c.begun, c.lost, c.early = conn, nil, false, false, nil
	c.turn = resumeTurn(c.state.turn(), c.bot.MaxTranscript)
}

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

// end ends the run from outside of it.
func (c *conversation) end(s *stop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(s)
}

// endLocked ends the run; the first reason stands. Closing the socket wakes the reader.
func (c *conversation) endLocked(s *stop) {
	if c.stop != nil {
		return
	}
	c.stop = s
	c.conn.Close()
}

// aside runs f on a goroutine of its own and closes the channel when it is done. A dial, a handshake and an encoder grow
// a stack to 8 kB, which a goroutine keeps for life; so they run on one that ends, and the conversation's own, which
// lives for minutes, stays at a quarter of that.
func aside(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

func failed(format string, args ...any) *stop {
	return &stop{ending: &Ending{Failed, fmt.Sprintf(format, args...)}}
}
