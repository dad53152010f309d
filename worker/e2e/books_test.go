package e2e

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

// patience bounds the waits of tests that need not be quick: long, because machines are slow, and never waited for in full
// where all is well.
const patience = 60 * time.Second

// ended waits for the outcome and fails unless it has the status.
func (w *world) ended(id string, want worker.Status) *worker.Outcome {
	w.t.Helper()
	o := w.outcome(id, patience)
	if o.Status != want {
		w.t.Fatalf("prompt %s ended as %s (%s), want %s", id, o.Status, o.Reason, want)
	}
	return o
}

// settled waits until no prompt is left in the streams that they wait in: every message is acknowledged.
func (w *world) settled() {
	w.t.Helper()
	for _, name := range []string{"DGBOT_PROMPTS", "DGBOT_LANES", "DGBOT_READY"} {
		eventually(w.t, patience, name+" is empty", func() bool { return w.stored(name) == 0 })
	}
}

func (w *world) stored(stream string) uint64 {
	w.t.Helper()
	st, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

// messages returns what visitors have said so far, as "visitor: content".
func (w *world) messages() []string {
	var all []string
	for _, m := range w.sim.Received() {
		all = append(all, m.Visitor+": "+m.Content)
	}
	return all
}

// says waits until a process has logged text.
func says(p *process, text string) {
	p.t.Helper()
	eventually(p.t, patience, fmt.Sprintf("%s says %q", p.name, text), func() bool { return strings.Contains(p.output(), text) })
}

// wire counts publishes by the word after the prefix: what a prompt costs.
type wire struct {
	mu sync.Mutex
	n  map[string]int
}

func (w *world) tap() *wire {
	w.t.Helper()
	count := &wire{n: map[string]int{}}
	_, err := w.nc.Subscribe("dgbot.>", func(m *nats.Msg) {
		count.mu.Lock()
		defer count.mu.Unlock()
		count.n[strings.Split(m.Subject, ".")[1]]++
	})
	if err == nil {
		err = w.nc.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return count
}

func (w *wire) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.n)
}

// asked waits until somebody asks a consumer for a message.
func (w *world) asked(consumer string) {
	w.t.Helper()
	eventually(w.t, patience, "a worker asks for prompts", func() bool {
		c, err := w.js.Consumer(w.t.Context(), "DGBOT_PROMPTS", consumer)
		return err == nil && c.CachedInfo().NumWaiting > 0
	})
}

// taken waits until a consumer has given away a message.
func (w *world) taken(consumer string) {
	w.t.Helper()
	eventually(w.t, patience, "a prompt is taken", func() bool { return w.pending("DGBOT_PROMPTS", consumer) > 0 })
}

// pending is how many messages workers hold of a consumer.
func (w *world) pending(stream, consumer string) int {
	w.t.Helper()
	c, err := w.js.Consumer(w.t.Context(), stream, consumer)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.CachedInfo().NumAckPending
}

// once checks that each prompt has one outcome, and that each action that the outcomes name is in the outbox once,
// delivered, and that nothing else is.
func (w *world) once(prompts ...string) {
	w.t.Helper()
	if n := w.stored("DGBOT_OUTCOMES"); n != uint64(len(prompts)) {
		w.t.Errorf("%d outcomes, want %d", n, len(prompts))
	}
	named := map[string]bool{}
	for _, p := range prompts {
		for _, f := range w.outcome(p, patience).Fired {
			if named[f.ID] {
				w.t.Errorf("action %s is named twice", f.ID)
			}
			named[f.ID] = true
		}
	}
	actions, err := w.js.Stream(w.t.Context(), "DGBOT_ACTIONS")
	if err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, patience, "actions are delivered", func() bool {
		info, err := actions.Info(w.t.Context(), jetstream.WithSubjectFilter("dgbot.actions.*.*.done"))
		return err == nil && len(info.State.Subjects) == len(named) && info.State.Msgs == uint64(len(named))
	})
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q\nwant %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("at %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

// say is the payload of a plain prompt.
func say(id, content string) string { return fmt.Sprintf(`{"id":%q,"content":%q}`, id, content) }
