package outbox

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// mute is a JetStream that leaves the first questions without an answer, as a cluster does while it elects a leader.
type mute struct {
	jetstream.JetStream
	left   int
	waited bool
}

func (m *mute) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if m.left == 0 {
		return m.JetStream.Stream(ctx, name)
	}
	m.left--
	if !m.waited {
		<-ctx.Done()
		m.waited = true
	}
	return nil, context.DeadlineExceeded
}

func TestAStreamIsAskedForAgain(t *testing.T) {
	t.Parallel()
	js := startServer(t).dial()
	for tries, want := range map[int]bool{1: true, openTries: false} {
		stream, err := openStream(ctxOf(t), &mute{JetStream: js, left: tries, waited: tries > 1}, StreamConfig(Config{Prefix: "dgbot"}))
		if (err == nil) != want || want && stream == nil {
			t.Errorf("after %d without an answer: %v, %v", tries, stream, err)
		}
	}
}
