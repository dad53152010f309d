package worker

import (
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
	streams  int              // that ended, over the whole conversation
	pending  Record           // what happened and is not in the journal yet
	leased   time.Time        // when the last append was asked for: for Config.Lease from then nobody else goes on in our place
	until    func() time.Time // see Job.Until; nil where nobody says
	fence    uint64           // see Outcomes.TakeOver; 0 where nobody had the prompt before
	stop     *stop            // set when this socket's run is over
	quiet    alarm            // the turn has settled, or nobody came
	limit    alarm            // the turn, the conversation or the prompt took too long
	flush    alarm            // pending has waited long enough
	overAt   time.Time        // when the conversation as a whole must be over
	resumeBy time.Time        // until when a turn that was cut off is listened for, over as many sockets as it takes
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
	ctx := c.ctx
	defer context.AfterFunc(ctx, func() { c.letGo(conn, context.Cause(ctx)) })()
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

// letGo hangs up because the prompt is to be handed back, or is another worker's by now, which is about to dial as the same
// visitor. It waits for no step: one may hold mu and wait for NATS, whose client lets nobody in while it connects
// again, whatever context they have.
func (c *conversation) letGo(conn *dgbot.Conn, why error) {
	if errors.Is(why, ErrFenced) {
		conn.Cut()
	}
	conn.Close()
	c.end(&stop{err: why})
}

// end ends the run from outside of it.
func (c *conversation) end(s *stop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(s)
}

// endLocked ends the run; the first reason stands. Closing the socket wakes the reader. A failure after the context's end is
// that end's doing and not the bot's.
func (c *conversation) endLocked(s *stop) {
	if c.stop != nil {
		return
	}
	if s.ending == nil && c.ctx.Err() != nil {
		s = &stop{err: context.Cause(c.ctx)}
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
