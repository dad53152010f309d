package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

var errCrash = errors.New("the worker crashed here")

// dying is a worker's JetStream that dies at one publish, with everything that the worker would have sent after it:
// acknowledgements too.
type dying struct {
	jetstream.JetStream
	left   atomic.Int64  // publishes until it dies
	stored bool          // whether the publish at which it dies reaches NATS
	dead   chan struct{} // closed at that publish
}

func (d *dying) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	left := d.left.Add(-1)
	if left > 0 {
		return d.JetStream.PublishMsg(ctx, m, opts...)
	}
	if left == 0 {
		if d.stored {
			if _, err := d.JetStream.PublishMsg(ctx, m, opts...); err != nil {
				return nil, err
			}
		}
		d.Conn().Close()
		close(d.dead)
	}
	return nil, errCrash
}

// expire makes NATS believe that AckWait has passed for the stream's first action, which a dead worker has taken.
func expire(t *testing.T, n *natsServer, js jetstream.JetStream) {
	t.Helper()
	waitFor(t, "NATS to notice the death", func() bool { return n.srv.NumClients() == 1 })
	if err := js.Conn().Publish("$JS.ACK.DGBOT_ACTIONS.refunds.1.1.1.0.0", []byte("-NAK")); err != nil {
		t.Fatal(err)
	}
}

// A worker dies at every publish of every way in which an attempt can end, once before and once after NATS has stored
// it. Another worker comes, and its sink accepts everything. However it was cut, the action ends once, and is attempted
// again only if its next state wasn't stored.
func TestCrashBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		verdict  sinks.Verdict
		publish  int64
		stored   bool
		attempts int // that the second worker makes
		want     State
		log      int // attempts in the log at the end
	}{
		{"delivered, nothing stored", sinks.Verdict{Class: sinks.Delivered}, 1, false, 1, Done, 1},
		{"delivered, marker stored, no ack", sinks.Verdict{Class: sinks.Delivered}, 1, true, 0, Done, 1},
		{"retry, nothing stored", failure, 1, false, 1, Done, 1},
		{"retry, schedule stored, no ack", failure, 1, true, 1, Done, 2},
		{"dead, nothing stored", sinks.Verdict{Class: sinks.Permanent}, 1, false, 1, Done, 1},
		{"dead, letter stored, no marker", sinks.Verdict{Class: sinks.Permanent}, 1, true, 0, Dead, 1},
		{"dead, letter stored, marker not sent", sinks.Verdict{Class: sinks.Permanent}, 2, false, 0, Dead, 1},
		{"dead, marker stored, no ack", sinks.Verdict{Class: sinks.Permanent}, 2, true, 0, Dead, 1},
		{"gone, disabled, todo not stored", sinks.Verdict{Class: sinks.Gone}, 1, false, 1, Done, 1},
		{"gone, todo stored, no ack", sinks.Verdict{Class: sinks.Gone}, 1, true, 1, Done, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := startServer(t)
			js := &dying{JetStream: n.connect(), stored: c.stored, dead: make(chan struct{})}
			js.left.Store(c.publish)
			second := open(t, n.connect())
			enqueue(t, second, "refunds", "a1")

			first := open(t, js)
			set(t, first, fast("refunds", &always{verdict: c.verdict}))
			select {
			case <-js.dead:
			case <-time.After(patience):
				t.Fatal("the first worker didn't come to the publish at which it dies")
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = first.Stop(ctx)
			expire(t, n, second.cfg.JetStream)

			sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered}}
			set(t, second, fast("refunds", sink))
			if c.verdict.Class == sinks.Gone {
				if err := second.Enable(ctxOf(t), "refunds"); err != nil {
					t.Fatal(err)
				}
			}
			got := item(t, second, "a1", c.want)
			settledQueue(t, second, "refunds")
			if n := sink.calls.Load(); int(n) != c.attempts {
				t.Errorf("the second worker made %d attempts, want %d", n, c.attempts)
			}
			if len(got.Attempts) != c.log {
				t.Errorf("the log has %d attempts, want %d: %+v", len(got.Attempts), c.log, got.Attempts)
			}
			if s := subjects(t, second.store.actions); !maps.Equal(s, map[string]uint64{"dgbot.actions.refunds.a1.done": 1}) {
				t.Errorf("stream holds %v", s)
			}
			letters := map[string]uint64{}
			if c.want == Dead {
				letters["dgbot.dead.actions.refunds.a1"] = 1
			}
			if s := subjects(t, second.store.letters); !maps.Equal(s, letters) {
				t.Errorf("dead letters are %v, want %v", s, letters)
			}
		})
	}
}

// hold takes an action as a lane does and keeps it.
func hold(t *testing.T, o *Outbox) (*stored, jetstream.Msg) {
	t.Helper()
	c, err := o.store.actions.CreateOrUpdateConsumer(ctxOf(t), jetstream.ConsumerConfig{
		Durable: "refunds", FilterSubject: "dgbot.actions.refunds.*.todo", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return o.store.decode(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream), msg
}

// A worker that was away for too long comes back with a result, after another has settled the action.
func TestStaleHolderChangesNothing(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(s *store, held *stored) error{
		"delivered": func(s *store, h *stored) error {
			return s.toDone(context.Background(), h.record, h.seq, Done, "")
		},
		"retry": func(s *store, h *stored) error {
			return s.toWait(context.Background(), h.record, h.seq, time.Now().Add(time.Hour))
		},
		"dead": func(s *store, h *stored) error { return s.toDead(context.Background(), h.record, h.seq, "late") },
		"dead, letter written": func(s *store, h *stored) error {
			wrote, err := s.putLetter(context.Background(), h.record, h.seq, "late")
			if err != nil || wrote == 0 {
				return fmt.Errorf("letter %d: %w", wrote, err)
			}
			return s.closeLetter(context.Background(), h.record, h.seq, wrote, "late")
		},
		"gone": func(s *store, h *stored) error { return s.toTodo(context.Background(), h.record, h.seq) },
	} {
		for settled, settle := range map[string]func(s *store, held *stored) error{
			"by a retry": func(s *store, h *stored) error {
				return s.toWait(context.Background(), h.record, h.seq, time.Now().Add(2*time.Hour))
			},
			"by a delivery": func(s *store, h *stored) error {
				return s.toDone(context.Background(), h.record, h.seq, Done, "")
			},
		} {
			if name == "delivered" && settled == "by a delivery" || name == "retry" && settled == "by a retry" {
				continue // the same step twice is no conflict: see TestStepsAreIdempotent
			}
			t.Run(name+" after it was settled "+settled, func(t *testing.T) {
				t.Parallel()
				o := open(t, startServer(t).connect())
				enqueue(t, o, "refunds", "a1")
				held, _ := hold(t, o)
				if err := settle(o.store, held); err != nil {
					t.Fatal(err)
				}
				before := lastSeq(t, o)
				if err := late(o.store, held); !errors.Is(err, errStale) {
					t.Errorf("the late result is answered with %v", err)
				}
				if after := lastSeq(t, o); after != before {
					t.Error("the late result was stored")
				}
				if s := subjects(t, o.store.letters); len(s) != 0 {
					t.Errorf("there are dead letters: %v", s)
				}
			})
		}
	}
}

func TestStepsAreIdempotent(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(time.Hour)
	for name, step := range map[string]func(s *store, held *stored) error{
		"done": func(s *store, h *stored) error { return s.toDone(context.Background(), h.record, h.seq, Done, "") },
		"wait": func(s *store, h *stored) error { return s.toWait(context.Background(), h.record, h.seq, at) },
		"todo": func(s *store, h *stored) error { return s.toTodo(context.Background(), h.record, h.seq) },
		"dead": func(s *store, h *stored) error { return s.toDead(context.Background(), h.record, h.seq, "so") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, startServer(t).connect())
			enqueue(t, o, "refunds", "a1")
			held, _ := hold(t, o)
			for range 3 {
				if err := step(o.store, held); err != nil {
					t.Fatal(err)
				}
			}
			if n := lastSeq(t, o); n != 2 {
				t.Errorf("last sequence is %d, want 2", n)
			}
			if s := subjects(t, o.store.letters); name == "dead" && s["dgbot.dead.actions.refunds.a1"] != 1 {
				t.Errorf("dead letters are %v", s)
			}
		})
	}
}
