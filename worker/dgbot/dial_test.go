package dgbot_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"dgworker/worker/dgbot"
	"dgworker/worker/dgbot/dgbotsim"
)

const (
	testKey     = "k&y/ 100%"
	testVisitor = "visitor?ä=1&key=x"
)

func client(t *testing.T, cfg dgbot.Config) *dgbot.Client {
	t.Helper()
	if cfg.Key == "" {
		cfg.Key = testKey
	}
	c, err := dgbot.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dial connects and closes at the end of the test.
func dial(t *testing.T, cfg dgbot.Config) *dgbot.Conn {
	t.Helper()
	conn, err := client(t, cfg).Dial(t.Context(), testVisitor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func simulator(t *testing.T, s dgbotsim.Script, opts ...dgbotsim.Option) *dgbotsim.Server {
	t.Helper()
	sim := dgbotsim.New(s, opts...)
	if err := sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim
}

// soon bounds what a test waits for, so that a mistake is a message and not a hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func wsURL(s *httptest.Server) string { return "ws" + strings.TrimPrefix(s.URL, "http") }

// hidesSecrets fails the test if an error shows what no log may hold.
func hidesSecrets(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range []string{testKey, testVisitor, "k%26y", "visitor%3F", "key=", "visitor_id="} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("the error shows %q: %v", secret, e)
			}
		}
	}
}

func TestDialEscapesAndKeepsTheQuery(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	sim := dgbotsim.New(dgbotsim.Script{})
	t.Cleanup(func() { _ = sim.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		got <- fmt.Sprintf("%s %q %q %q %q", r.URL.Path, q["key"], q["visitor_id"], q["region"], r.Header["Sec-Websocket-Extensions"])
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	dial(t, dgbot.Config{URL: wsURL(srv) + "/eu/ws?region=a%26b&key=old"})
	if got, want := <-got, fmt.Sprintf(`/eu/ws [%q] [%q] ["a&b"] []`, testKey, testVisitor); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 302, 401, 403, 404, 429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Location", "/elsewhere?"+r.URL.RawQuery)
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, "no: %s, %s", r.URL.RawQuery, r.URL.Query().Get("key"))
			}))
			t.Cleanup(srv.Close)
			_, err := client(t, dgbot.Config{URL: wsURL(srv)}).Dial(t.Context(), testVisitor)
			var refused *dgbot.RefusedError
			if !errors.As(err, &refused) || refused.Status != status || refused.RetryAfter != 7*time.Second {
				t.Fatalf("got %v", err)
			}
			hidesSecrets(t, err)
			if !strings.HasPrefix(refused.Body, "no: ") || strings.Contains(refused.Body, testKey) {
				t.Errorf("body is %q", refused.Body)
			}
		})
	}
}

// answer serves each TCP connection with f.
func answer(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "ws://" + ln.Addr().String() + "/ws"
}

func TestDialBrokenServers(t *testing.T) {
	t.Parallel()
	request := func(c net.Conn) string {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		return string(b[:n])
	}
	for name, f := range map[string]func(net.Conn){
		"hangs up":   func(net.Conn) {},
		"echoes":     func(c net.Conn) { _, _ = io.WriteString(c, request(c)) },
		"echo field": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 101 x\r\n"+request(c)) },
		"talks ssh":  func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); request(c) },
		"no accept": func(c net.Conn) {
			request(c)
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client(t, dgbot.Config{URL: answer(t, f), ConnectTimeout: 10 * time.Second}).Dial(t.Context(), testVisitor)
			var refused *dgbot.RefusedError
			if err == nil || errors.As(err, &refused) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if name == "no accept" && !errors.Is(err, dgbot.ErrHandshake) {
				t.Errorf("got %v, want ErrHandshake", err)
			}
			hidesSecrets(t, err)
		})
	}
}

func TestDialRefusesWhatWasNotOffered(t *testing.T) {
	t.Parallel()
	sim := dgbotsim.New(dgbotsim.Script{})
	t.Cleanup(func() { _ = sim.Close() })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sim.ServeHTTP(&compressing{ResponseWriter: w}, r)
	}))
	t.Cleanup(srv.Close)
	if _, err := client(t, dgbot.Config{URL: wsURL(srv) + "/ws"}).Dial(t.Context(), "v"); !errors.Is(err, dgbot.ErrHandshake) {
		t.Errorf("got %v, want ErrHandshake", err)
	}
}

func TestDialConnectTimeout(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	for _, scheme := range []string{"ws://", "wss://"} {
		_, err := client(t, dgbot.Config{URL: scheme + ln.Addr().String(), ConnectTimeout: 50 * time.Millisecond}).Dial(t.Context(), testVisitor)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("%s got %v", scheme, err)
		}
		hidesSecrets(t, err)
	}
}

func TestDialContext(t *testing.T) {
	t.Parallel()
	why := errors.New("changed our mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	url := answer(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // the request is on its way
		cancel(why)
		_, _ = io.Copy(io.Discard, c)
	})
	if _, err := client(t, dgbot.Config{URL: url, ConnectTimeout: time.Minute}).Dial(ctx, testVisitor); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}

	sim := simulator(t, dgbotsim.Default(), dgbotsim.WithSpeed(dgbotsim.Instant))
	ctx, cancel = context.WithCancelCause(t.Context())
	conn, err := client(t, dgbot.Config{URL: sim.URL()}).Dial(ctx, testVisitor)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel(why) // is nothing to a connection that is open
	if err := conn.Send(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(); err != nil {
		t.Error(err)
	}
}

// A handshake's own context ends with it; the connection must not.
func TestDialLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	sim := simulator(t, dgbotsim.Script{})
	c := client(t, dgbot.Config{URL: sim.URL()})
	for i := range 200 {
		conn, err := c.Dial(t.Context(), fmt.Sprint("v", i))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

func TestDialTLS(t *testing.T) {
	t.Parallel()
	sim := dgbotsim.New(dgbotsim.Default(), dgbotsim.WithSpeed(dgbotsim.Instant))
	srv := httptest.NewUnstartedServer(sim)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that has to fail
	srv.StartTLS()
	t.Cleanup(func() { _ = sim.Close(); srv.Close() })
	url := strings.Replace(srv.URL, "https", "wss", 1) + "/ws"

	_, err := client(t, dgbot.Config{URL: url}).Dial(t.Context(), testVisitor)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("system roots: got %v", err)
	}
	hidesSecrets(t, err)

	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	cfg := dgbot.Config{URL: url, TLS: &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}}
	conn := dial(t, cfg)
	if err := conn.Send(t.Context(), "What are your shipping times?"); err != nil {
		t.Fatal(err)
	}
	if got := response(t, conn); got != "Standard shipping takes 5–7 business days." {
		t.Errorf("got %q", got)
	}
}
