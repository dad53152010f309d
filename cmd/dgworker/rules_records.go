package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/rules/ruletest"
)

// amount is how much there is to read, for a progress bar: outcomes or bytes; neither where it isn't known.
type amount struct {
	outcomes int
	bytes    int64
}

const (
	readChunk = 256 << 10
	maxLine   = 16 << 20 // bytes of one outcome in a file
)

// recordsOf reads the lines of files, one after the other.
func recordsOf(names []string) (iter.Seq2[ruletest.Record, error], amount, error) {
	var total amount
	known := true
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case name == "-":
			known = false
		case err != nil:
			return nil, total, fmt.Errorf("read outcomes: %w", err)
		default:
			known = known && info.Mode().IsRegular()
			total.bytes += info.Size()
		}
	}
	if !known {
		total.bytes = 0
	}
	return func(yield func(ruletest.Record, error) bool) {
		for _, name := range names {
			if !readFile(name, yield) {
				return
			}
		}
	}, total, nil
}

func readFile(name string, yield func(ruletest.Record, error) bool) bool {
	if name == "-" {
		return readLines("standard input", os.Stdin, yield)
	}
	f, err := os.Open(name)
	if err != nil {
		return yield(ruletest.Record{}, fmt.Errorf("read outcomes: %w", err))
	}
	defer func() { _ = f.Close() }() // only read
	return readLines(name, f, yield)
}

// readLines yields every line that isn't blank. Lines are parts of the chunks that they were read in, so that no line is
// copied; a chunk is given away with them.
func readLines(name string, r io.Reader, yield func(ruletest.Record, error) bool) bool {
	var carry []byte // the beginning of a line
	for line, end := 1, false; !end; {
		chunk := append(make([]byte, 0, len(carry)+readChunk), carry...)
		n, err := io.ReadFull(r, chunk[len(carry):cap(chunk)])
		chunk = chunk[:len(carry)+n]
		switch end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
		case err != nil && !end:
			return yield(ruletest.Record{}, fmt.Errorf("read outcomes %s: %w", name, err))
		case end:
			chunk = append(chunk, '\n')
		}
		for {
			text, rest, whole := bytes.Cut(chunk, []byte("\n"))
			if !whole {
				break
			}
			if text = bytes.TrimSpace(text); len(text) > 0 && !yield(ruletest.Record{Data: text, File: name, Line: line}, nil) {
				return false
			}
			chunk = rest
			line++
		}
		if carry = chunk; len(carry) > maxLine {
			return yield(ruletest.Record{}, fmt.Errorf("read outcomes %s:%d: a line is over %d MiB", name, line, maxLine>>20))
		}
	}
	return true
}

// records yields the outcomes on NATS that are stored now, oldest first.
func (h *history) records(ctx context.Context, bot string, since time.Time) (iter.Seq2[ruletest.Record, error], amount, error) {
	if err := h.open(ctx); err != nil {
		return nil, amount{}, err
	}
	if bot == "" {
		bot = "*"
	}
	config := jetstream.OrderedConsumerConfig{FilterSubjects: []string{h.names.Outcome(bot, "*", "*")}}
	if !since.IsZero() {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	consumer, err := h.js.OrderedConsumer(ctx, h.names.Stream("OUTCOMES"), config)
	if err != nil {
		return nil, amount{}, fmt.Errorf("read outcomes: %w", err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, amount{}, fmt.Errorf("read outcomes: %w", err)
	}
	total := int(info.NumPending) + info.NumAckPending
	return func(yield func(ruletest.Record, error) bool) { follow(ctx, consumer, total, yield) }, amount{outcomes: total}, nil
}

// follow yields the next messages of a consumer, as many as were there when it was made.
func follow(ctx context.Context, consumer jetstream.Consumer, total int, yield func(ruletest.Record, error) bool) {
	if total == 0 {
		return
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		yield(ruletest.Record{}, fmt.Errorf("read outcomes: %w", err))
		return
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for range total {
		msg, err := messages.Next()
		if err != nil {
			yield(ruletest.Record{}, fmt.Errorf("read outcomes: %w", causeOf(ctx, err)))
			return
		}
		if !yield(ruletest.Record{Data: msg.Data()}, nil) {
			return
		}
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 {
			return // some have expired meanwhile
		}
	}
}

// causeOf is why ctx ended, where that is what ended the reading.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
