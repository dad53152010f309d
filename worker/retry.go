package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"dgworker/worker/dgbot"
)

// onDialError decides what a bot that can't be reached means for this step.
func (c *conversation) onDialError(st step, err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	var refused *dgbot.RefusedError
	isRefused := errors.As(err, &refused)
	switch {
	case isRefused && !refused.Temporary():
		return c.finish(Ending{Failed, err.Error()})
	case st.move == resume || st.move == await:
		return c.waitForBot(st)
	case c.line.Closed() > 0 && !(isRefused && refused.Status == 429):
		return c.handBack("the line to the bot is closed", c.line.Closed())
	}
	after := time.Duration(0)
	if isRefused {
		after = refused.RetryAfter
	}
	return c.fail(err, after)
}

// waitForBot waits a little before the socket of a turn that was cut off, or of a person, is opened again.
func (c *conversation) waitForBot(st step) error {
	if !time.Now().Before(st.until) {
		return c.finish(*c.unheard())
	}
	pause := min(time.Second+rand.N(time.Second), time.Until(st.until))
	return sleep(c.ctx, pause, nil)
}

// onCutShort takes a socket that was lost before its turn was over.
func (c *conversation) onCutShort(st step, err error) error {
	next := c.state.plan(c.bot)
	if next.move == send || next.move == resend {
		return c.fail(err, 0)
	}
	if st.move == resume && next.move == resume {
		next.until = st.until
	}
	return c.waitForBot(next)
}

// unheard is the ending of a conversation whose bot said nothing more for as long as was waited.
func (c *conversation) unheard() *Ending {
	if c.state.Offered {
		return &Ending{Status: Handoff}
	}
	return interrupted(c.bot)
}

// backoff is the pause before attempt n+1: 1 s, doubled each time up to a minute, ±20 %.
func backoff(n int) time.Duration {
	d := min(time.Second<<min(n-1, 10), time.Minute)
	return d*4/5 + rand.N(d*2/5)
}

// fail counts the attempt and either gives up or leaves the prompt for later.
func (c *conversation) fail(err error, after time.Duration) error {
	f := &Failure{Attempt: c.state.Attempt, At: now(), Reason: err.Error()}
	if f.Attempt == 0 {
		f.Attempt = 1
	}
	if len(c.state.Failures)+1 >= c.bot.MaxAttempts {
		c.state.Failures = append(c.state.Failures, *f)
		return c.finish(Ending{Failed, fmt.Sprintf("attempt %d of %d: %v", f.Attempt, c.bot.MaxAttempts, err)})
	}
	after = max(after, backoff(f.Attempt))
	f.NotBefore = now().Add(after)
	c.log.Warn("attempt failed", zap.Int("attempt", f.Attempt), zap.Error(err), zap.Duration("again_in", after))
	if err := c.append(&Record{Failed: f}); err != nil {
		return err
	}
	return later{after}
}

// handBack leaves the prompt for later, or for another worker, which counts no attempt.
func (c *conversation) handBack(why string, after time.Duration) error {
	if c.state.Last > 0 {
		if err := c.append(&Record{Back: why}); err != nil {
			return err
		}
	}
	return later{after}
}
