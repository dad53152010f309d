package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// process is a program that is started, stopped and killed. Its output goes to a file that a failing test shows.
type process struct {
	t    *testing.T
	name string
	argv []string
	log  string

	mu   sync.Mutex
	cmd  *exec.Cmd
	from int           // where the log of the process that runs now begins
	done chan struct{} // closed when the process that runs now has ended
}

func startProcess(t *testing.T, name string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, argv: argv, log: filepath.Join(t.TempDir(), name+".log")}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", name, p.tail(40))
		}
	})
	return p
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin()
}

// begin starts the process. The caller holds mu.
func (p *process) begin() {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	if info, err := out.Stat(); err == nil {
		p.from = int(info.Size())
	}
	p.cmd = exec.Command(filepath.Join(binaries, p.argv[0]), p.argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is asked where it matters
	}()
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // one that has ended needs none
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// wait returns the exit code, -1 if a signal ended the process.
func (p *process) wait() int {
	p.mu.Lock()
	done, cmd := p.done, p.cmd
	p.mu.Unlock()
	<-done
	return cmd.ProcessState.ExitCode()
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	p.wait()
}

// stop stops a process that runs, with all its threads: a signal that was sent has not come yet.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.pid(), &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.t.Fatalf("%s did not stop: %v, %#x", p.name, err, status)
	}
}

// terminate asks the process to end and returns its exit code.
func (p *process) terminate() int {
	p.signal(syscall.SIGTERM)
	return p.wait()
}

func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

// ended says whether the process has ended by itself or otherwise.
func (p *process) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over()
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// revive starts the process again if it has ended, as a supervisor does.
func (p *process) revive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over() {
		p.begin()
	}
}

// awaitReady waits until the worker that runs now says that it is ready.
func (p *process) awaitReady() {
	eventually(p.t, 30*time.Second, p.name+" is ready", func() bool {
		p.revive()
		p.mu.Lock()
		from := p.from
		p.mu.Unlock()
		return strings.Contains(p.output()[from:], `"msg":"ready"`)
	})
}

func (p *process) tail(n int) string {
	lines := strings.Split(strings.TrimRight(p.output(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startNATS starts n server processes, a cluster if n is more than one, and returns them with the address of all. links[i][j] is
// how server i reaches server j.
func startNATS(t *testing.T, n int) (servers []*process, urls string, links [][]*proxy) {
	t.Helper()
	clients, routes := make([]string, n), make([]string, n)
	for i := range n {
		clients[i], routes[i] = fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	for i, client := range clients {
		host, port, _ := net.SplitHostPort(client)
		argv := []string{"nats-server", "-a", host, "-p", port, "-js", "-sd", t.TempDir(), "-n", fmt.Sprintf("n%d", i)}
		out := make([]*proxy, n)
		var others []string
		for j := range n {
			if j != i {
				out[j] = startProxy(t, routes[j])
				others = append(others, out[j].url())
			}
		}
		if n > 1 {
			argv = append(argv, "--cluster_name", "e2e", "--cluster", "nats://"+routes[i], "--routes", strings.Join(others, ","))
		}
		servers = append(servers, startProcess(t, fmt.Sprintf("nats%d", i), argv...))
		links = append(links, out)
	}
	return servers, "nats://" + strings.Join(clients, ",nats://"), links
}

// startLeaf starts a server with JetStream and one without, a leaf that is linked to it through a proxy. It returns the first,
// and the addresses of both.
func startLeaf(t *testing.T) (hub *process, hubURL, leafURL string, link *proxy) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hub.conf")
	leaves, hubPort, leafPort := freePort(t), freePort(t), freePort(t)
	writeFile(t, file, fmt.Sprintf("leafnodes {listen: \"127.0.0.1:%d\"}\njetstream {store_dir: %q, domain: hub}\n", leaves, t.TempDir()))
	hub = startProcess(t, "hub", "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(hubPort), "-n", "hub", "-c", file)
	link = startProxy(t, fmt.Sprintf("127.0.0.1:%d", leaves))
	file = filepath.Join(t.TempDir(), "leaf.conf")
	writeFile(t, file, fmt.Sprintf("leafnodes {remotes: [{url: \"nats-leaf://%s\"}]}\n", link.listener.Addr()))
	startProcess(t, "leaf", "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(leafPort), "-n", "leaf", "-c", file)
	return hub, fmt.Sprintf("nats://127.0.0.1:%d", hubPort), fmt.Sprintf("nats://127.0.0.1:%d", leafPort), link
}

// connect waits until NATS answers with JetStream and returns a connection that the test owns.
func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "JetStream answers", func() bool {
		_, err := js.AccountInfo()
		return err == nil
	})
	return nc
}

// eventually waits until cond holds. Between processes there is no signal to wait for.
func eventually(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", d, what)
		}
	}
}
