package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/sinks/outbox"
	"dgworker/worker/broker"
	"dgworker/worker/queue"
)

// archives are what is kept on NATS, for commands that look or redrive.
type archives struct {
	prompts *queue.Archive
	actions *outbox.Archive
	conn    *nats.Conn
	js      jetstream.JetStream
}

// withArchives connects, calls do, and closes the connection. Ctrl-C ends the context.
func withArchives(f natsFlags, do func(context.Context, *archives) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	settings := f.settings()
	if settings.URL == "" && settings.Context == "" {
		settings.URL = nats.DefaultURL
	}
	nc, js, err := broker.Connect(settings, "dgworker cli", zap.NewNop())
	if err != nil {
		return err
	}
	defer nc.Close()
	a := &archives{conn: nc, js: js}
	if a.prompts, err = queue.OpenArchive(ctx, js, f.Prefix); err != nil {
		return err
	}
	if a.actions, err = outbox.OpenArchive(ctx, js, f.Prefix); err != nil {
		return err
	}
	if err = do(ctx, a); errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}

// marshalKind puts the kind and the id of a thing beside it, where a list holds several kinds.
func marshalKind(kind, id string, v any) ([]byte, error) {
	return json.Marshal(map[string]any{"kind": kind, "id": id, kind: v})
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
