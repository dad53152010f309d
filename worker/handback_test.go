package worker_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
)

// A worker that has lost its prompt hangs up, also while it waits for a journal that minds no context: the client of NATS is
// such a one while it connects again.
func TestLetsGoWhileItWaitsForNATS(t *testing.T) {
	t.Parallel()
	for _, why := range []error{worker.ErrFenced, errors.New("stopping")} {
		t.Run(why.Error(), func(t *testing.T) {
			t.Parallel()
			stuck, hungUp := make(chan struct{}), make(chan struct{})
			w := newWorld(t, "", `  - {name: refunded, on: tool_action_result, actions: [{webhook: hook}]}
`, talk(func(v *visit) {
				v.hear()
				v.send(calling("refund"), returned("refund", "done"))
				<-v.gone
				close(hungUp)
			}))
			lost := sync.OnceFunc(func() { close(stuck) })
			w.journal.before = func(r *worker.Record) {
				if len(r.Seen) > 0 {
					lost()
					select {
					case <-hungUp:
					case <-w.ctx.Done():
						t.Error("the socket is still open")
					}
				}
			}
			w.lose(job("A refund", 1), stuck, why)
		})
	}
}

// A stop hands the prompt back with a word in its journal, so that it counts no attempt; the next worker sends again what
// showed nothing.
func TestHandedBack(t *testing.T) {
	t.Parallel()
	for range 10 { // the reader and whoever hangs up race for the end of the run: neither may take it for the end of the prompt
		t.Run("", func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{})
			w := newWorld(t, "max_attempts: 1", `  - {name: over, on: conversation_ended, actions: [{publish: a.b, body: "{{ conversation.status }}"}]}
`, talk(func(v *visit) { v.hear(); close(asked) }), says("Hi"))
			if d := w.lose(job("Hello", 1), asked, errors.New("stopping")); d.Verb != worker.Nak || d.After != 0 {
				t.Fatalf("disposition %+v", d)
			}
			records := w.journal.all()
			if last := records[len(records)-1]; last.Back == "" {
				t.Errorf("the journal ends with %+v", last)
			}
			o := w.takeUp("Hello")
			w.expect(o, worker.Completed, "")
			if o.Attempts != 1 || len(o.History) != 0 || !reflect.DeepEqual(w.bot.messages(), []string{"Hello", "Hello"}) {
				t.Errorf("outcome %+v, heard %q", o, w.bot.messages())
			}
			if over := w.outbox.list; len(over) != 1 || string(over[0].Body) != `"completed"` {
				t.Errorf("the end of the conversation was told as %+v", over)
			}
		})
	}
}

// A message that could not be sent because the worker stops is no failure of the bot, and uses up no attempt.
func TestHandedBackBeforeItCouldSend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "max_attempts: 1", "", talk(func(v *visit) { v.hear() }), says("Hi"))
	ctx, stop := context.WithCancelCause(w.ctx)
	w.journal.after = func(r *worker.Record) {
		if r.Sent != nil {
			stop(errors.New("stopping"))
		}
	}
	if d := w.worker.Handle(ctx, job("Hello", 1)); d.Verb != worker.Nak || d.After != 0 {
		t.Fatalf("disposition %+v", d)
	}
	o := w.takeUp("Hello")
	w.expect(o, worker.Completed, "")
	if o.Attempts != 1 || !reflect.DeepEqual(w.bot.messages(), []string{"Hello"}) {
		t.Errorf("%d attempts, heard %q", o.Attempts, w.bot.messages())
	}
}

// A worker that stops while a rule asks for a claim lets it have its answer: the rule has not failed.
func TestHandedBackWhileARuleClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", `  - {name: cool, on: tool_action_result, cooldown: 1h, actions: [{publish: a.b}]}
`, talk(func(v *visit) {
		v.hear()
		v.send(calling("refund"), returned("refund", "done"))
	}), talk(func(v *visit) { v.stream("m", "went on") }))
	ctx, stop := context.WithCancelCause(w.ctx)
	made, err := worker.New(worker.Config{
		Journal: w.journal, Outcomes: w.queue.Outcomes, Outbox: w.outbox, Log: zap.NewNop(),
		Claims: &firstClaim{w.queue.Claims, func(ctx context.Context) { stop(errors.New("stopping")); <-ctx.Done() }},
	}, w.set)
	if err != nil {
		t.Fatal(err)
	}
	if d := made.Handle(ctx, job("A refund", 1)); d.Verb != worker.Nak {
		t.Fatalf("disposition %+v", d)
	}
	if o := w.takeUp("A refund"); len(o.Fired) != 1 || len(o.Errors) != 0 || len(w.outbox.list) != 1 {
		t.Errorf("fired %+v, errors %+v, enqueued %+v", o.Fired, o.Errors, w.outbox.list)
	}
}

// firstClaim calls first before the first claim.
type firstClaim struct {
	rules.Claims
	first func(context.Context)
}

func (c *firstClaim) Claim(ctx context.Context, key, holder string, ttl time.Duration) (bool, time.Time, error) {
	if c.first != nil {
		c.first(ctx)
		c.first = nil
	}
	return c.Claims.Claim(ctx, key, holder, ttl)
}
