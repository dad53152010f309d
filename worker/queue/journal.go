package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

// Journal keeps the records of prompts, one subject each.
type Journal struct {
	publisher
	names  Names
	stream jetstream.Stream
}

// Append stores r if the last record of prompt is at sequence last.
func (j *Journal) Append(ctx context.Context, prompt string, last uint64, r *worker.Record) (uint64, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("append to journal: %w", err)
	}
	subject := j.names.Journal(prompt)
	return j.store(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithExpectLastSequencePerSubject(last),
		func(ctx context.Context) (uint64, bool, bool, error) {
			msg, err := j.stream.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return 0, last != 0, false, nil // gone while we held it: that is not ours either
			}
			if err != nil {
				return 0, false, false, err
			}
			var there worker.Record
			err = json.Unmarshal(msg.Data, &there)
			return msg.Sequence, msg.Sequence != last, there.Writer == r.Writer, err
		})
}

// Read calls apply with each record of prompt in order.
func (j *Journal) Read(ctx context.Context, prompt string, apply func(*worker.Record, uint64)) error {
	subject := j.names.Journal(prompt)
	for next := uint64(1); ; {
		msg, err := j.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read journal of prompt %q: %w", prompt, err)
		}
		r := new(worker.Record)
		if err := json.Unmarshal(msg.Data, r); err != nil {
			return fmt.Errorf("read journal of prompt %q at sequence %d: %w", prompt, msg.Sequence, err)
		}
		apply(r, msg.Sequence)
		next = msg.Sequence + 1
	}
}
