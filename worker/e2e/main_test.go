package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "dgworker/worker/app" // the binary is made of it: go test must not take an old result for a new one's
)

var (
	chaosPrompts = flag.Int("chaos.prompts", 500, "prompts of the chaos run; from 5000 on it runs on a cluster")
	chaosSeed    = flag.Uint64("chaos.seed", 0, "seed of the chaos run; 0 takes one from the clock")
	chaosWorkers = flag.Int("chaos.workers", 3, "worker processes of the chaos run")
	chaosAckWait = flag.Duration("chaos.ack-wait", 2*time.Second, "their --ack-wait; what must outlast it takes twice as long")
	chaosLatency = flag.Duration("chaos.latency", 0, "of everything that passes between workers and NATS, each way")
	binaries     string // folder of dgworker and nats-server
)

// TestMain builds the programs that the tests run as processes: as users run them, so without the race detector.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var err error
		if binaries, err = os.MkdirTemp("", "dgworker-e2e-"); err == nil {
			defer os.RemoveAll(binaries)
			err = build("dgworker", "dgworker/cmd/dgworker")
		}
		if err == nil {
			err = build("nats-server", "github.com/nats-io/nats-server/v2")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// TestBinaryIsMadeOfTheCommand reads the sources of the command, which can't be imported: go test remembers what a test has read,
// and plays the scenarios again when that changes.
func TestBinaryIsMadeOfTheCommand(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../cmd/dgworker/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the command's sources are not there: %v", err)
	}
	for _, f := range files {
		if _, err := os.ReadFile(f); err != nil {
			t.Error(err)
		}
	}
}

func build(name, pkg string) error {
	out, err := exec.Command("go", "build", "-race=false", "-o", filepath.Join(binaries, name), pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
