package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// taker takes messages of one consumer, each into a slot of its own.
type taker struct {
	stream jetstream.Stream
	config jetstream.ConsumerConfig
	bot    string
	slots  []*Slots                    // one of each is needed for a message: of the bot, if it has a limit, and of the worker
	admit  func(context.Context) error // waits until the bot may have another conversation
	handle func(jetstream.Msg)         // runs on a goroutine of its own
	log    *zap.Logger
	wg     *sync.WaitGroup // of the handlers

	consumer jetstream.Consumer
	iter     jetstream.MessagesContext
}

// Pauses of a taker. They bound how often it asks, not how soon it hears.
const (
	afterTrouble = time.Second           // before a consumer is opened again
	afterNothing = 50 * time.Millisecond // before a bot that had nothing asks for a slot that others want
)

// run takes messages until ctx ends.
func (t *taker) run(ctx context.Context) {
	defer t.close()
	for ctx.Err() == nil {
		if err := t.takeOne(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("no prompt could be taken: trying again", zap.String("consumer", t.config.Durable), zap.Error(err))
			t.close()
			_ = wait(ctx, afterTrouble)
		}
	}
}

// takeOne waits for the bot, then for a slot, then for a message, in that order: what is held is never waited with.
func (t *taker) takeOne(ctx context.Context) error {
	if err := t.ensure(ctx); err != nil {
		return err
	}
	if err := t.admit(ctx); err != nil {
		return err
	}
	held, err := t.acquire(ctx)
	if err != nil {
		return err
	}
	msg, err := t.next(ctx, held)
	if err != nil || msg == nil {
		held.release()
		if err == nil {
			err = wait(ctx, afterNothing)
		}
		return err
	}
	if ctx.Err() != nil { // stopped while it was on its way
		held.release()
		return msg.Nak()
	}
	for _, slot := range held {
		slot.Use()
	}
	t.wg.Go(func() {
		defer held.release()
		t.handle(msg)
	})
	return nil
}

// heldSlots are the slots that one message needs.
type heldSlots []*Slot

func (h heldSlots) release() {
	for _, slot := range h {
		slot.Release()
	}
}

// wait makes every slot ask giveUp when somebody else wants it; false means that one is wanted already.
func (h heldSlots) wait(giveUp func()) bool {
	for _, slot := range h {
		if !slot.Wait(giveUp) {
			return false
		}
	}
	return true
}

func (t *taker) acquire(ctx context.Context) (heldSlots, error) {
	var held heldSlots
	for _, slots := range t.slots {
		slot, err := slots.Acquire(ctx, t.bot)
		if err != nil {
			held.release()
			return nil, err
		}
		held = append(held, slot)
	}
	return held, nil
}

// next waits for a message for as long as nobody else wants the slot; nil means that there was none.
func (t *taker) next(ctx context.Context, held heldSlots) (jetstream.Msg, error) {
	if t.iter == nil {
		if err := t.open(ctx); err != nil {
			return nil, err
		}
	}
	iter := t.iter
	if !held.wait(iter.Drain) {
		return t.look()
	}
	defer context.AfterFunc(ctx, iter.Drain)()
	// Drain gives back the pull and lets through what NATS had sent already: no message is left behind.
	msg, err := Next(iter)
	if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.iter = nil
		return nil, nil
	}
	return msg, err
}

// look asks for a message without waiting for one, because somebody else wants the slot.
func (t *taker) look() (jetstream.Msg, error) {
	batch, err := t.consumer.FetchNoWait(1)
	if err != nil {
		return nil, err
	}
	if msg, ok := <-batch.Messages(); ok {
		return msg, nil
	}
	return nil, batch.Error()
}

// ensure creates the consumer if it is missing. It is never deleted by a worker. It comes before everything that may take
// long: by its consumer all workers see that a bot is known, and don't reject its prompts.
func (t *taker) ensure(ctx context.Context) (err error) {
	if t.consumer != nil {
		return nil
	}
	if t.consumer, err = t.stream.CreateOrUpdateConsumer(ctx, t.config); err != nil {
		t.consumer = nil
		return fmt.Errorf("open consumer %s: %w", t.config.Durable, err)
	}
	return nil
}

func (t *taker) open(ctx context.Context) (err error) {
	if err := t.ensure(ctx); err != nil {
		return err
	}
	t.iter, err = t.consumer.Messages(jetstream.PullMaxMessages(1))
	return err
}

func (t *taker) close() {
	if t.iter != nil {
		t.iter.Stop()
		t.iter = nil
	}
	t.consumer = nil
}
