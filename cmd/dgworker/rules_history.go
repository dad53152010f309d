package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/rules/ruletest"
	"dgworker/worker/broker"
	"dgworker/worker/queue"
)

// history is what NATS keeps of conversations and rules. It is opened when it is first asked for: a command whose files
// say all needs no NATS.
type history struct {
	flags    natsFlags
	names    queue.Names
	conn     *nats.Conn
	js       jetstream.JetStream
	versions *queue.Archive
}

// withHistory calls do and closes the connection, if one was opened. Ctrl-C ends the context.
func withHistory(f natsFlags, do func(context.Context, *history) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	h := &history{flags: f, names: queue.Names{Prefix: f.Prefix}}
	defer func() {
		if h.conn != nil {
			h.conn.Close()
		}
	}()
	return do(ctx, h)
}

func (h *history) open(ctx context.Context) error {
	if h.versions != nil {
		return nil
	}
	settings := h.flags.settings()
	if settings.URL == "" && settings.Context == "" {
		settings.URL = nats.DefaultURL
	}
	var err error
	if h.conn == nil {
		if h.conn, h.js, err = broker.Connect(settings, "dgworker cli", zap.NewNop()); err != nil {
			return err
		}
	}
	h.versions, err = queue.OpenArchive(ctx, h.js, h.flags.Prefix)
	return err
}

// outcome returns the outcome of a prompt as it was stored.
func (h *history) outcome(ctx context.Context, prompt string) (*ruletest.Outcome, error) {
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	stream, err := h.js.Stream(ctx, h.names.Stream("OUTCOMES"))
	if err != nil {
		return nil, fmt.Errorf("open outcomes: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, h.names.Outcome("*", "*", prompt))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("prompt %q: %w", prompt, queue.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("look for the outcome of prompt %q: %w", prompt, err)
	}
	return ruletest.ReadOutcome(msg.Data)
}

// version returns the files of a version of the rules.
func (h *history) version(ctx context.Context, version string) (queue.RuleVersion, error) {
	if err := h.open(ctx); err != nil {
		return queue.RuleVersion{}, err
	}
	return h.versions.Version(ctx, version)
}
