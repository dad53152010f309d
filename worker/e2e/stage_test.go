package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
	"dgworker/worker/dgbot/dgbotsim"
	"dgworker/worker/queue"
)

// patience bounds every wait of these tests: long, because machines are slow, and never waited for in full where all is
// well.
const patience = 60 * time.Second

// stage is what a focused test is played on: a NATS server process, a simulated bot and a rules file. Workers come and go.
type stage struct {
	t     *testing.T
	url   string
	nc    *nats.Conn
	js    jetstream.JetStream
	sim   *dgbotsim.Server
	rules string
}

// newStage plays script to the bot of the rules, in which BOT stands for its URL.
func newStage(t *testing.T, script, rules string) *stage {
	t.Helper()
	s := &stage{t: t, sim: startSim(t, script, "127.0.0.1:0")}
	_, s.url = startNATS(t, 1)
	s.nc = connect(t, s.url)
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	s.js = js
	s.rules = filepath.Join(t.TempDir(), "rules.yaml")
	s.write(rules)
	return s
}

func (s *stage) write(rules string) {
	s.t.Helper()
	if err := os.WriteFile(s.rules, []byte(strings.ReplaceAll(rules, "BOT", s.sim.URL())), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func startSim(t *testing.T, script, addr string) *dgbotsim.Server {
	t.Helper()
	parsed, err := dgbotsim.ParseScript([]byte(script))
	if err != nil {
		t.Fatal(err)
	}
	sim := dgbotsim.New(parsed)
	if err := sim.Start(addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	return sim
}

// worker starts a worker process and waits until it is ready.
func (s *stage) worker(name string, flags ...string) *process {
	s.t.Helper()
	argv := append([]string{"dgworker", "run", "--rules", s.rules, "--nats", s.url, "--admin", "off", "--ack-wait", "2s",
		"--log-format", "json"}, flags...)
	p := startProcess(s.t, name, argv...)
	p.awaitReady()
	return p
}

// prompt publishes one prompt and waits until NATS has it.
func (s *stage) prompt(subject string, p map[string]any) {
	s.t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.js.Publish(s.t.Context(), "dgbot.prompts."+subject, data); err != nil {
		s.t.Fatal(err)
	}
}

func say(id, content string) map[string]any { return map[string]any{"id": id, "content": content} }

// outcome waits for the outcome of a prompt.
func (s *stage) outcome(id string) (o *worker.Outcome) {
	s.t.Helper()
	archive, err := queue.OpenArchive(s.t.Context(), s.js, "dgbot")
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, patience, "outcome of "+id, func() bool {
		o, err = archive.Outcome(s.t.Context(), id)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	return o
}

// ended waits for the outcome and fails unless it has the status.
func (s *stage) ended(id string, want worker.Status) *worker.Outcome {
	s.t.Helper()
	o := s.outcome(id)
	if o.Status != want {
		s.t.Fatalf("prompt %s ended as %s (%s), want %s", id, o.Status, o.Reason, want)
	}
	return o
}

// settled waits until no prompt is left in the streams that they wait in: every message is acknowledged.
func (s *stage) settled() {
	s.t.Helper()
	for _, name := range []string{"DGBOT_PROMPTS", "DGBOT_LANES", "DGBOT_READY"} {
		eventually(s.t, patience, name+" is empty", func() bool { return s.stored(name) == 0 })
	}
}

func (s *stage) stored(stream string) uint64 {
	s.t.Helper()
	st, err := s.js.Stream(s.t.Context(), stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

// messages returns what visitors have said so far, as "visitor: content".
func (s *stage) messages() []string {
	var all []string
	for _, m := range s.sim.Received() {
		all = append(all, m.Visitor+": "+m.Content)
	}
	return all
}

func (s *stage) awaitMessages(n int) { await(s.t, s.sim, n) }

// await waits until the bot has received n messages.
func await(t *testing.T, sim *dgbotsim.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := sim.Await(ctx, func(st dgbotsim.Stats) bool { return st.Messages >= n }); err != nil {
		t.Fatal(err)
	}
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

func (s *stage) tap() *wire {
	s.t.Helper()
	w := &wire{n: map[string]int{}}
	_, err := s.nc.Subscribe("dgbot.>", func(m *nats.Msg) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.n[strings.Split(m.Subject, ".")[1]]++
	})
	if err == nil {
		err = s.nc.Flush()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

func (w *wire) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.n)
}
