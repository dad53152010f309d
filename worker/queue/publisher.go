package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
)

// publisher stores guarded messages, and keeps trying until it knows the answer.
type publisher struct {
	js      jetstream.JetStream
	timeout time.Duration
	log     *zap.Logger
}

// The two refusals of a guarded publish. A cluster mostly gives the second, which can also mean that a rival's message is
// still under way and may yet fail.
const (
	codeWrongSequence = 10071
	codeWrongUnderWay = 10164
	codeMaxPerSubject = 10077
	firstPause        = 50 * time.Millisecond
	longestPause      = 2 * time.Second
)

// store publishes msg under its guard. mine asks, after a refusal, whether what stands there is this very message: an
// earlier try may have been stored without our hearing of it. It returns the sequence, ErrFenced if somebody else was
// there first, worker.ErrTooLarge, or ctx's cause.
func (p *publisher) store(ctx context.Context, msg *nats.Msg, guard jetstream.PublishOpt, mine func(context.Context) (seq uint64, found, mine bool, err error)) (uint64, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		seq, err := p.try(ctx, msg, guard)
		if isRefused(err) {
			seq, err = p.whose(ctx, err, mine)
		}
		switch {
		case err == nil:
			return seq, nil
		case errors.Is(err, worker.ErrFenced):
			return 0, err
		case errors.Is(err, nats.ErrMaxPayload):
			return 0, worker.ErrTooLarge
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		}
		p.log.Warn("NATS did not store a message: trying again", zap.String("subject", msg.Subject), zap.Error(err))
		if err := wait(ctx, pause/2+rand.N(pause)); err != nil {
			return 0, err
		}
	}
}

// keep stores msg unless its subject has a message already, and returns once one is there. That it is refused is not enough: an earlier
// try, or somebody else's, may be under way and come to nothing.
func (p *publisher) keep(ctx context.Context, stream jetstream.Stream, msg *nats.Msg) error {
	_, err := p.store(ctx, msg, jetstream.WithExpectLastSequencePerSubject(0), func(ctx context.Context) (uint64, bool, bool, error) {
		_, err := stream.GetLastMsgForSubject(ctx, msg.Subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, false, false, nil
		}
		return 0, err == nil, err == nil, err
	})
	if errors.Is(err, worker.ErrFenced) {
		return nil // it was there, and is done with; or the replica that was asked lags
	}
	return err
}

func (p *publisher) try(ctx context.Context, msg *nats.Msg, guard jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	ack, err := p.js.PublishMsg(ctx, msg, guard)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// whose tells a rival's message from our own that was stored unheard, and from one that is still under way.
func (p *publisher) whose(ctx context.Context, refusal error, mine func(context.Context) (uint64, bool, bool, error)) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	seq, found, ours, err := mine(ctx)
	switch {
	case err != nil:
		return 0, err
	case ours:
		return seq, nil
	case !found && apiCode(refusal) == codeWrongUnderWay:
		return 0, refusal // a rival is under way: ask again
	}
	return 0, worker.ErrFenced
}

func isRefused(err error) bool {
	code := apiCode(err)
	return code == codeWrongSequence || code == codeWrongUnderWay
}

func apiCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
