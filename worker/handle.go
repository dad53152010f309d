package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// Handle takes one prompt from its message to its outcome:
//
//	prompt -> conversation -> event -> rule -> action -> outcome
//
// and says what is to become of the message. When ctx ends the prompt is handed back; if it ends with ErrFenced as its cause,
// it is left to whoever has it now. Nothing that was done is lost.
func (w *Worker) Handle(ctx context.Context, job *Job) Disposition {
	gen := w.generation.Load()
	p, err := w.accept(job, gen)
	if !w.enter(p.ID) {
		return Disposition{Verb: Leave}
	}
	defer w.leave(p.ID)
	c := w.converse(ctx, p, gen)
	c.until = job.Until
	w.Metrics.began(c.label)
	defer w.Metrics.left(c.label)
	return w.dispose(c, c.hold(ctx, job, err))
}

// hold does everything for the prompt and returns what it came to, which is never nil.
func (c *conversation) hold(ctx context.Context, job *Job, invalid error) (err error) {
	defer func() {
		if r := recover(); r != nil { // one prompt must not take down the others that this process holds
			c.log.Error("panic while a prompt was handled", zap.Any("panic", r), zap.Stack("stack"))
			err = c.fail(fmt.Errorf("internal error: %v", r), 0)
		}
	}()
	if invalid != nil {
		return c.reject(ctx, invalid)
	}
	for err = c.recall(ctx, job.Again); err == nil; {
		err = c.goOn()
		if errors.Is(err, ErrFenced) && c.state.Last == 0 && c.ctx.Err() == nil {
			// Our first append found a journal: the prompt was held before, though its message didn't say so.
			err = c.readBack(ctx)
		}
	}
	return err
}

// What a conversation's steps end in, besides ErrFenced and the end of the context. Each is a disposition.
var (
	errSettled = errors.New("the prompt has its outcome")
	errLater   = errors.New("the prompt waits for its next attempt")
)

// later is errLater with the time to wait.
type later struct{ after time.Duration }

func (l later) Error() string        { return fmt.Sprintf("%v: in %s", errLater, l.after) }
func (l later) Is(target error) bool { return target == errLater }

// accept reads the prompt. Its error is an *InvalidError, and the prompt has an id and a bot all the same.
func (w *Worker) accept(job *Job, gen *generation) (*Prompt, error) {
	bot, known := gen.set.Bot(job.Bot)
	if !known || job.NoSuchBot {
		p, err := ParsePrompt(job, len(job.Payload)+1)
		if err == nil {
			err = invalid("no worker knows the bot %q, or the subject is not <prefix>.prompts.<bot> or <prefix>.prompts.<bot>.<lane>", job.Bot)
		}
		return p, err
	}
	p, err := ParsePrompt(job, bot.MaxContent)
	if w.Reply == nil || !w.Reply(p.Live) {
		p.Live = ""
	}
	switch {
	case err != nil:
	case len(p.Messages) > bot.MaxTurns:
		err = invalid("the prompt has %d messages, and at most %d turns are allowed (max_turns of the bot)", len(p.Messages), bot.MaxTurns)
	case p.ReplyTo != "" && (w.Reply == nil || !w.Reply(p.ReplyTo)):
		err = invalid("reply_to %q is neither an inbox nor under a prefix that the operator allows (--reply-to-prefix)", p.ReplyTo)
		p.ReplyTo = ""
	}
	return p, err
}

func (w *Worker) converse(ctx context.Context, p *Prompt, gen *generation) *conversation {
	bot, known := gen.set.Bot(p.Bot)
	if !known {
		bot = &rules.Bot{Name: p.Bot}
	}
	c := &conversation{w: w, p: p, bot: bot, set: gen.set, line: gen.lines[p.Bot], ctx: ctx, label: gen.label(p.Bot)}
	c.log = w.Log.WithLazy(zap.String("prompt", p.ID), zap.String("bot", p.Bot))
	visitor := p.VisitorID
	if visitor == "" {
		visitor = newVisitorID()
	}
	c.state = NewState(p, visitor, gen.set, bot)
	c.overAt = time.Now().Add(bot.ConversationTimeout)
	if !p.Deadline.IsZero() && p.Deadline.Before(c.overAt) {
		c.overAt = p.Deadline
	}
	return c
}

func newVisitorID() string { return uuid.NewString() }

// goOn makes the next move of the plan and takes up what it came to.
func (c *conversation) goOn() error {
	st := c.state.plan(c.bot)
	switch st.move {
	case finish:
		return c.finish(st.ending)
	case resume:
		if c.resumeBy.IsZero() {
			c.resumeBy = st.until
		}
		st.until = c.resumeBy
	}
	if st.move == send || st.move == resend {
		if err := c.mayBegin(); err != nil {
			return err
		}
	}
	conn, err := c.dial()
	if err != nil {
		return c.onDialError(st, err)
	}
	settled := c.state.settledTurns()
	s := c.run(st, conn)
	switch {
	case s.ending != nil:
		return c.finish(*s.ending)
	case !errors.Is(s.err, errCut):
		return s.err
	case c.state.settledTurns() > settled:
		return nil
	}
	return c.onCutShort(st, s.err)
}

// mayBegin refuses a visitor message after the prompt's deadline, and while the line to the bot is closed.
func (c *conversation) mayBegin() error {
	if d := c.p.Deadline; !d.IsZero() && !time.Now().Before(d) {
		return c.finish(Ending{Failed, "the prompt's deadline passed before it could be sent"})
	}
	if d := c.line.Closed(); d > 0 {
		return c.handBack("the line to the bot is closed", d)
	}
	return nil
}

func (c *conversation) dial() (*dgbot.Conn, error) {
	var conn *dgbot.Conn
	var err error
	<-aside(func() { conn, err = c.line.dial(c.ctx, c.state.VisitorID) })
	return conn, err
}
