package webhook_test

import (
	"bufio"
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

const (
	secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// newSink fills what most tests share: a secret, and leave to reach this machine's loopback in plain text.
func newSink(t testing.TB, cfg webhook.Config) *webhook.Sink {
	t.Helper()
	cfg.Name = "test"
	if cfg.Secrets == nil {
		cfg.Secrets = []string{secret}
	}
	if cfg.Allow == nil {
		cfg.Allow = loopback
	}
	s, err := webhook.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func delivery() sinks.Delivery {
	return sinks.Delivery{
		ID: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", Endpoint: "test", Rule: "refund-issued", Prompt: "p1", Bot: "support",
		Event: "tool_action_result", CreatedAt: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Body: []byte(`{"order":"R-17"}`),
	}
}

// request is what a receiver saw of one attempt.
type request struct {
	*http.Request
	body string
}

// receiver is a well-behaved endpoint that remembers what it got.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen []request
}

func newReceiver(t testing.TB, answer http.HandlerFunc) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(r.handler(answer))
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) handler(answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.seen = append(r.seen, request{req, string(body)})
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	})
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

func (r *receiver) only(t *testing.T) request {
	t.Helper()
	if seen := r.requests(); len(seen) != 1 {
		t.Fatalf("the receiver saw %d requests, want 1", len(seen))
	}
	return r.requests()[0]
}

// raw is a receiver that speaks TCP: it gives each connection to handle, and ends them all with the test.
type raw struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newRaw(t testing.TB, address string, handle func(net.Conn)) *raw {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{Listener: ln}
	r.wg.Go(func() { r.accept(handle) })
	t.Cleanup(r.close)
	return r
}

func (r *raw) accept(handle func(net.Conn)) {
	for {
		conn, err := r.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		r.wg.Go(func() { handle(conn) })
	}
}

func (r *raw) close() {
	r.Listener.Close()
	r.mu.Lock()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *raw) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func (r *raw) url() string { return "http://" + r.Addr().String() }

// readRequest reads one request off conn.
func readRequest(conn net.Conn) bool {
	return readNext(bufio.NewReader(conn))
}

func readNext(from *bufio.Reader) bool {
	req, err := http.ReadRequest(from)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// answering reads a request and then writes text, and leaves the connection open.
func answering(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if readRequest(conn) {
			io.WriteString(conn, text)
		}
	}
}

func pemFile(t testing.TB, blocks ...*pem.Block) string {
	t.Helper()
	var text strings.Builder
	for _, b := range blocks {
		pem.Encode(&text, b)
	}
	path := filepath.Join(t.TempDir(), "test.pem")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expect fails unless v is of that class, and holds each of the parts in its reason.
func expect(t *testing.T, v sinks.Verdict, class sinks.Class, parts ...string) {
	t.Helper()
	if v.Class != class {
		t.Fatalf("class %q (%s), want %q", v.Class, v.Reason, class)
	}
	for _, part := range parts {
		if !strings.Contains(v.Reason, part) {
			t.Errorf("the reason %q does not say %q", v.Reason, part)
		}
	}
}

func deliver(t *testing.T, s *webhook.Sink) sinks.Verdict {
	t.Helper()
	return s.Deliver(context.Background(), delivery())
}
