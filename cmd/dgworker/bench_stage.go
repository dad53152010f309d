package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

const benchScript = `
replies:
  - match: ^hold
    steps: [{silence: }]
  - steps: [{tool: lookup_order}, {stream: {text: "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"}}]
`

// benchStage is the place where a load is played: NATS and a bot in this process, and a worker in another.
type benchStage struct {
	nats   *broker.Server
	sim    *dgbotsim.Server
	worker *exec.Cmd
	ended  chan struct{} // closed when the worker has ended
	admin  string
	conn   *nats.Conn
	js     jetstream.JetStream
	dir    string
	rounds int
}

func (c benchCommand) stage(ctx context.Context) (s *benchStage, err error) {
	s = &benchStage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	sync, err := parseSync(c.Sync)
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "dgworker-bench-"); err != nil {
		return nil, err
	}
	if s.nats, err = broker.Start(broker.Embed{Dir: filepath.Join(s.dir, "nats"), Listen: "127.0.0.1:0", Sync: sync}); err != nil {
		return nil, err
	}
	script, err := dgbotsim.ParseScript([]byte(benchScript))
	if err != nil {
		return nil, err
	}
	s.sim = dgbotsim.New(script)
	if err := s.sim.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	if s.conn, err = nats.Connect(s.nats.URL(), nats.Name("dgworker bench")); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(256)); err != nil {
		return nil, err
	}
	return s, s.start(ctx, c)
}

// rules are those of the bench: none of them fires.
func (s *benchStage) rules(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bots:\n  bench: {key: bench, url: %q, settle: 0s, turn_timeout: 1h}\nrules:\n", s.sim.URL())
	for i := range n {
		fmt.Fprintf(&b, "  - {name: r%d, on: tool_action_result, when: 'event.tool == \"tool_%d\" && event.status == \"done\"', actions: [{publish: bench.fired}]}\n", i, i)
	}
	return b.String()
}

func (s *benchStage) start(ctx context.Context, c benchCommand) error {
	rules := filepath.Join(s.dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte(s.rules(c.Rules)), 0o600); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if s.admin, err = freeAddress(); err != nil {
		return err
	}
	flags := append([]string{"run", "--rules", rules, "--nats", s.nats.URL(), "--admin", s.admin, "--log-level", "warn",
		"--concurrency", strconv.Itoa(max(c.AtOnce, c.Open+c.AtOnce))}, c.WorkerFlags...)
	s.worker = exec.Command(program, flags...)
	s.worker.Stderr = os.Stderr
	if err := s.worker.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.worker.Wait() // it says itself why it ended
	}()
	return s.until(ctx, "the worker is ready", func() bool {
		resp, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// until asks again and again: another process gives no signal.
func (s *benchStage) until(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-s.ended:
			return errors.New("the worker has ended")
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s", what)
		}
	}
	return nil
}

func (s *benchStage) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.ended != nil {
		_ = s.worker.Process.Signal(syscall.SIGKILL) // what it holds is of no interest
		<-s.ended
	}
	if s.sim != nil {
		_ = s.sim.Close()
	}
	if s.nats != nil {
		s.nats.Stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
