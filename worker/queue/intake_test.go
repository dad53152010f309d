package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dgworker/worker"
)

var support = Bot{Name: "support"}

// A worker never holds more prompts than it has slots, over all bots, in parallel and in lanes.
func TestIntakeHoldsNoMoreThanItsSlots(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	for i := range 30 {
		b.publish(q, "dgbot.prompts.a", "Hi")
		b.publish(q, "dgbot.prompts.b", fmt.Sprintf(`{"content":"Hi","visitor_id":"v%d"}`, i))
		b.publish(q, fmt.Sprintf("dgbot.prompts.b.lane%d", i), "Hi")
	}
	d := newDesk(q)
	full := make(chan struct{})
	d.work = func(ctx context.Context, _ *worker.Job, _ *worker.Prompt) *worker.Disposition {
		d.mu.Lock()
		if d.now == 4 && d.most == 4 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		d.mu.Unlock()
		select {
		case <-full:
		case <-ctx.Done():
		}
		return nil
	}
	b.takes(q, d, 4, Bot{Name: "a"}, Bot{Name: "b", Max: 2})
	d.await(b.ctx, t, 90)
	if d.most != 4 {
		t.Errorf("%d prompts were held at once, want 4", d.most)
	}
	b.awaitEmpty(q, "PROMPTS", "LANES", "READY")
}

func TestMaxConversationsOfABot(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	for i := range 10 {
		b.publish(q, "dgbot.prompts.support", "Hi")
		b.publish(q, fmt.Sprintf("dgbot.prompts.support.l%d", i), "Hi")
	}
	d := newDesk(q)
	b.takes(q, d, 50, Bot{Name: "support", Max: 1})
	d.await(b.ctx, t, 20)
	if d.most != 1 {
		t.Errorf("%d conversations at once, want max_conversations", d.most)
	}
}

// One slot, two bots: the one that has nothing to do does not keep the slot from the other.
func TestAnIdleBotHoldsNoSlot(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	b.takes(q, d, 1, Bot{Name: "idle"}, Bot{Name: "idle2"}, Bot{Name: "busy"})
	for range 10 {
		b.publish(q, "dgbot.prompts.busy", "Hi")
		d.await(b.ctx, t, 1)
	}
	b.publish(q, "dgbot.prompts.idle", "Hi")
	d.await(b.ctx, t, 1)
}

// A bot whose line is closed takes nothing, and holds up no other.
func TestABotThatIsDownHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := &downDesk{desk: newDesk(q), up: make(chan struct{})}
	for range 5 {
		b.publish(q, "dgbot.prompts.down", "Hi")
		b.publish(q, "dgbot.prompts.fine", "Hi")
	}
	b.takes(q, d, 1, Bot{Name: "down"}, Bot{Name: "fine"})
	d.await(b.ctx, t, 5)
	consumer, err := q.prompts.Consumer(b.ctx, "bot-down")
	if err != nil {
		t.Fatalf("nobody would know that this bot has a worker: %v", err)
	}
	if info := consumer.CachedInfo(); info.NumAckPending != 0 || info.NumPending != 5 {
		t.Errorf("%d prompts of a bot that is down are held, %d wait", info.NumAckPending, info.NumPending)
	}
	close(d.up)
	d.await(b.ctx, t, 5)
}

// Many prompts lie there, and each is taken as soon as there is a slot: see Next. Forgetting to ask costs half a minute.
func TestNoPullIsForgotten(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.openPatient()
	const prompts = 3000
	for i := range prompts {
		if _, err := q.JetStream.PublishAsync("dgbot.prompts.support", fmt.Appendf(nil, "Hi %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	<-q.JetStream.PublishAsyncComplete()
	d := newDesk(q)
	b.takes(q, d, 64, support)
	d.await(b.ctx, t, prompts)
}

// A bot that never answers has prompts for every slot that it can get; those of another bot are handled all the same.
func TestASlowBotHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.openPatient()
	d := newDesk(q)
	begun := make(chan bool, 100)
	d.work = func(ctx context.Context, job *worker.Job, _ *worker.Prompt) *worker.Disposition {
		if job.Bot != "slow" {
			return nil
		}
		begun <- true
		<-ctx.Done()
		return &worker.Disposition{Verb: worker.Nak}
	}
	b.takes(q, d, 16, Bot{Name: "slow"}, Bot{Name: "quick"})
	for range 40 {
		b.publish(q, "dgbot.prompts.slow", "Hi")
	}
	for range 15 {
		<-begun
	}
	for range 5 {
		b.publish(q, "dgbot.prompts.quick", "Hi")
		b.publish(q, "dgbot.prompts.quick.lane", "Hi")
	}
	d.await(b.ctx, t, 10)
	if len(begun) != 0 {
		t.Error("the slow bot took what is kept for the other")
	}
}

type downDesk struct {
	*desk
	up chan struct{}
}

func (d *downDesk) Admit(ctx context.Context, bot string) error {
	if bot != "down" {
		return ctx.Err()
	}
	select {
	case <-d.up:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A bot that waits for its first slot is known to all workers: its prompts are not rejected by one that does not know it.
func TestABotWithoutASlotIsKnown(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	full, other := b.open(), b.open()
	d := newDesk(full)
	let := make(chan struct{})
	d.work = func(ctx context.Context, _ *worker.Job, _ *worker.Prompt) *worker.Disposition {
		select {
		case <-let:
		case <-ctx.Done():
		}
		return nil
	}
	b.publish(full, "dgbot.prompts.busy", "Hi")
	in := b.takes(full, d, 1, Bot{Name: "busy"})
	for d.holds() == 0 {
		if err := wait(b.ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	in.SetBots([]Bot{{Name: "busy"}, {Name: "late"}})
	b.publish(full, "dgbot.prompts.late", "Hi", worker.HeaderID, "late-1")
	b.publish(full, "dgbot.prompts.nobody", "Hi", worker.HeaderID, "nobody-1")
	sweeper := newDesk(other)
	b.takes(other, sweeper, 1, Bot{Name: "else"})
	if ids := sweeper.await(b.ctx, t, 1); ids[0] != "nobody-1" {
		t.Errorf("%q was rejected", ids)
	}
	close(let)
	if ids := d.await(b.ctx, t, 2); !slices.Contains(ids, "late-1") {
		t.Errorf("the bot's prompt was not handled: %q", ids)
	}
}

func (d *desk) holds() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func TestDispositions(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	var began []time.Time
	var again []bool
	d.work = func(_ context.Context, job *worker.Job, _ *worker.Prompt) *worker.Disposition {
		began, again = append(began, time.Now()), append(again, job.Again)
		switch len(began) {
		case 1:
			return &worker.Disposition{Verb: worker.Nak}
		case 2:
			return &worker.Disposition{Verb: worker.Nak, After: 300 * time.Millisecond}
		case 3:
			return &worker.Disposition{Verb: worker.Leave}
		}
		return nil
	}
	b.publish(q, "dgbot.prompts.support", "Hi")
	b.takes(q, d, 1, support)
	d.await(b.ctx, t, 1)
	if !slices.Equal(again, []bool{false, true, true, true}) {
		t.Errorf("again: %v", again)
	}
	for i, least := range []time.Duration{0, 250 * time.Millisecond, 600 * time.Millisecond} { // Leave waits for AckWait, 1s
		if gap := began[i+1].Sub(began[i]); gap < least {
			t.Errorf("delivery %d came %s after the one before it, want %s at least", i+2, gap, least)
		}
	}
	b.awaitEmpty(q, "PROMPTS")
}

// A prompt that takes longer than AckWait stays with its worker.
func TestLongPromptsAreKept(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one, two := b.open(), b.open()
	d := newDesk(one)
	deliveries := 0
	d.work = func(ctx context.Context, _ *worker.Job, _ *worker.Prompt) *worker.Disposition {
		deliveries++
		_ = wait(ctx, 2500*time.Millisecond)
		return nil
	}
	other := newDesk(two)
	b.publish(one, "dgbot.prompts.support.lane", "Hi")
	b.takes(one, d, 1, support)
	for d.holds() == 0 {
		if err := wait(b.ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	b.takes(two, other, 1, support)
	d.await(b.ctx, t, 1)
	if deliveries != 1 || len(other.done) != 0 {
		t.Errorf("%d deliveries, %d to the other worker", deliveries, len(other.done))
	}
}

// Stop takes nothing more, waits for what is held, hands the rest back at once, and may be called again.
func TestStop(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	d.work = func(ctx context.Context, _ *worker.Job, p *worker.Prompt) *worker.Disposition {
		if p.Content == "short" {
			return nil
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errStopping) {
			t.Errorf("handed back because of %v", context.Cause(ctx))
		}
		return &worker.Disposition{Verb: worker.Nak}
	}
	b.publish(q, "dgbot.prompts.support", "long")
	b.publish(q, "dgbot.prompts.support.lane", "long")
	in := b.takes(q, d, 4, support)
	for d.holds() < 2 {
		if err := wait(b.ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	drain, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	in.Stop(drain)
	in.Stop(b.ctx)
	b.publish(q, "dgbot.prompts.support", "short")
	next := newDesk(q)
	began := time.Now()
	b.takes(q, next, 4, support)
	next.await(b.ctx, t, 3)
	if took := time.Since(began); took > 900*time.Millisecond { // AckWait is 1s
		t.Logf("took %s", took)
	}
	b.awaitEmpty(q, "PROMPTS", "LANES", "READY")
}

func TestProgress(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	stuck := make(chan struct{})
	d.admit = func(ctx context.Context) error {
		select {
		case <-stuck:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	in := b.takes(q, d, 1, support)
	b.publish(q, "dgbot.prompts.support", "Hi")
	for {
		remark, err := in.Progress(b.ctx)
		if err == nil && remark == "1 prompts wait" {
			break
		}
		if err := wait(b.ctx, time.Millisecond); err != nil {
			t.Fatalf("progress: %s, %v", remark, err)
		}
	}
	in.moved.at.Store(time.Now().Add(-2 * time.Minute).UnixNano())
	if _, err := in.Progress(b.ctx); err == nil || !strings.Contains(err.Error(), "nothing has moved") {
		t.Errorf("progress: %v", err)
	}
	close(stuck)
	d.await(b.ctx, t, 1)
	if _, err := in.Progress(b.ctx); err != nil {
		t.Errorf("progress: %v", err)
	}
}

// A bot that the rules no longer have is not taken any more, and comes back with them.
func TestSetBots(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	d := newDesk(q)
	in := b.takes(q, d, 4, support, Bot{Name: "sales"})
	b.publish(q, "dgbot.prompts.support", "Hi")
	d.await(b.ctx, t, 1)
	in.SetBots([]Bot{{Name: "sales"}})
	if in.knows("support") || !in.knows("sales") {
		t.Error("bots")
	}
	b.publish(q, "dgbot.prompts.sales", "Hi", worker.HeaderID, "s1")
	if ids := d.await(b.ctx, t, 1); ids[0] != "s1" {
		t.Errorf("handled %q", ids)
	}
	b.publish(q, "dgbot.prompts.support", "Hi", worker.HeaderID, "back")
	in.SetBots([]Bot{{Name: "sales"}, support})
	if ids := d.await(b.ctx, t, 1); ids[0] != "back" {
		t.Errorf("handled %q", ids)
	}
}
