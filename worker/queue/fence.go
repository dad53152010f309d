package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/worker"
)

// TakeOver stores the prompt's fence: a message beside the outcomes, whose sequence the caller's outcome will expect. The
// outcome of whoever had the prompt before expects an older one, or none, and so is refused however late it comes.
// Neither a lease nor a closed connection can do that: what a worker has sent may lie in a network for as long as it likes.
//
// The fence holds the sequence of the journal's record with which its writer took the prompt, and gives way to later ones only.
func (s *Outcomes) TakeOver(ctx context.Context, prompt string, record uint64) (fence uint64, settled bool, err error) {
	if !s.fences {
		settled, err = s.Settled(ctx, prompt)
		return 0, settled, err
	}
	for {
		last, err := s.last(ctx, s.settling(prompt))
		switch {
		case err != nil:
			return 0, false, fmt.Errorf("take over prompt %q: %w", prompt, err)
		case last != nil && last.Subject != s.names.fence(prompt):
			return 0, true, nil
		}
		expect, by := uint64(0), uint64(0)
		if last != nil {
			expect = last.Sequence
			if by, err = strconv.ParseUint(string(last.Data), 10, 64); err != nil {
				return 0, false, fmt.Errorf("take over prompt %q: read its fence: %w", prompt, err)
			}
		}
		switch {
		case by > record:
			return 0, false, worker.ErrFenced
		case by == record && last != nil:
			return expect, false, nil // an earlier try, stored unheard
		}
		msg := &nats.Msg{Subject: s.names.fence(prompt), Data: strconv.AppendUint(nil, record, 10)}
		fence, err = s.store(ctx, msg, jetstream.WithExpectLastSequenceForSubject(expect, s.settling(prompt)), s.mine(s.settling(prompt), "", expect))
		if !errors.Is(err, worker.ErrFenced) {
			return fence, false, err
		} // something came in between: look at it
	}
}

// liftTries is for how many times the longest try a fence is tried to be removed. Nobody needs it any more: what is left
// behind costs a message, and goes with the outcomes.
const liftTries = 3

// lift removes the fence of a prompt that has its outcome, which is a fence itself from then on. It does so also where the
// prompt is no longer the caller's: nobody looks at one again that is over.
func (s *Outcomes) lift(ctx context.Context, prompt string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), liftTries*s.timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := s.purge(ctx, prompt)
		if err == nil {
			return
		}
		if refusedForGood(err) || wait(ctx, pause) != nil {
			s.log.Warn("fence of a prompt that is over could not be removed: it goes with the outcome", zap.String("prompt", prompt), zap.Error(err))
			return
		}
	}
}

func (s *Outcomes) purge(ctx context.Context, prompt string) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.stream.Purge(ctx, jetstream.WithPurgeSubject(s.names.fence(prompt)))
}

// settling is the subject on which an outcome is guarded.
func (s *Outcomes) settling(prompt string) string {
	if !s.fences {
		return s.names.Outcome("*", "*", prompt)
	}
	return s.names.settling(prompt)
}
