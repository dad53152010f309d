package dgbot_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dgworker/worker/dgbot"
	"dgworker/worker/dgbot/dgbotsim"

	"github.com/gorilla/websocket"
)

// compressing answers a handshake with a compression that nobody offered.
type compressing struct{ http.ResponseWriter }

func (w *compressing) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.ResponseWriter.(http.Hijacker).Hijack()
	return &compressingConn{c}, rw, err
}

type compressingConn struct{ net.Conn }

func (c *compressingConn) Write(b []byte) (int, error) {
	s := strings.Replace(string(b), "\r\n\r\n",
		"\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n", 1)
	if _, err := io.WriteString(c.Conn, s); err != nil {
		return 0, err
	}
	return len(b), nil
}

// response reads up to the end of the first stream.
func response(t *testing.T, c *dgbot.Conn) string {
	t.Helper()
	var s dgbot.Streams
	for {
		f, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch f.Type {
		case dgbot.StreamChunk:
			s.Chunk(f)
		case dgbot.StreamEnd:
			text, _ := s.End(f.MessageID)
			return text
		}
	}
}

// serve gives each connection to f and closes it then, without a close frame.
func serve(t *testing.T, f func(*websocket.Conn)) string {
	t.Helper()
	var up websocket.Upgrader
	var handlers sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		f(ws)
	}))
	t.Cleanup(func() { srv.Close(); handlers.Wait() })
	return wsURL(srv)
}

// deaf serves connections of which it reads nothing, with the smallest buffer there is.
func deaf(t *testing.T) string {
	t.Helper()
	release := make(chan struct{})
	url := serve(t, func(ws *websocket.Conn) {
		_ = ws.NetConn().(*net.TCPConn).SetReadBuffer(1)
		<-release
	})
	t.Cleanup(func() { close(release) })
	return url
}

// script makes a bot that greets with steps.
func script(steps ...dgbotsim.Step) dgbotsim.Script { return dgbotsim.Script{Greeting: steps} }

func TestReadSkipsAndCounts(t *testing.T) {
	t.Parallel()
	end := "m"
	sim := simulator(t, script(
		dgbotsim.Step{Garbage: dgbotsim.GarbageText},
		dgbotsim.Step{Garbage: dgbotsim.GarbageBinary},
		dgbotsim.Step{Garbage: dgbotsim.GarbageBadJSON},
		dgbotsim.Step{Raw: `["no object"]`},
		dgbotsim.Step{Raw: `{"no":"type"}`},
		dgbotsim.Step{Garbage: dgbotsim.GarbageUnknownType},
		dgbotsim.Step{End: &end},
	))
	conn := dial(t, dgbot.Config{URL: sim.URL()})
	f, err := conn.Read()
	if err != nil || f.Known || f.Type != "typing_indicator" || !strings.Contains(string(f.Raw), `"since":12.5`) {
		t.Fatalf("got %+v %s, %v", f, f.Raw, err)
	}
	if f, err = conn.Read(); err != nil || f.Type != dgbot.StreamEnd {
		t.Fatalf("got %+v, %v", f, err)
	}
	if bad, binary := conn.Skipped(); bad != 4 || binary != 1 {
		t.Errorf("skipped %d bad frames and %d binary ones, want 4 and 1", bad, binary)
	}
}

func TestReadJoinsFragments(t *testing.T) {
	t.Parallel()
	sim := simulator(t, script(dgbotsim.Step{Garbage: dgbotsim.GarbageFragments}))
	if got := response(t, dial(t, dgbot.Config{URL: sim.URL()})); got != "These words — “in pieces” — are one message." {
		t.Errorf("got %q", got)
	}
}

func TestReadFrameTooBig(t *testing.T) {
	t.Parallel()
	codes := make(chan error, 2)
	for name, send := range map[string]func(*websocket.Conn, []byte){
		"one frame": func(ws *websocket.Conn, b []byte) { _ = ws.WriteMessage(websocket.TextMessage, b) },
		"fragments": func(ws *websocket.Conn, b []byte) {
			w, _ := ws.NextWriter(websocket.TextMessage)
			for len(b) > 0 {
				n, _ := w.Write(b[:min(100, len(b))])
				b = b[n:]
			}
			_ = w.Close()
		},
		"binary": func(ws *websocket.Conn, b []byte) { _ = ws.WriteMessage(websocket.BinaryMessage, b) },
	} {
		url := serve(t, func(ws *websocket.Conn) {
			send(ws, []byte(`{"type":"agent_left","x":"`+strings.Repeat("x", 20_000-28)+`"}`))
			send(ws, []byte(`{"type":"agent_left","x":"`+strings.Repeat("x", 20_000-27)+`"}`))
			_, _, err := ws.ReadMessage()
			codes <- err
		})
		conn := dial(t, dgbot.Config{URL: url, MaxFrame: 20_000})
		if f, err := conn.Read(); name != "binary" && (err != nil || len(f.Raw) != 20_000) {
			t.Errorf("%s: a frame of exactly the limit: %d bytes, %v", name, len(f.Raw), err)
		}
		_, err := conn.Read()
		if !errors.Is(err, dgbot.ErrFrameTooBig) || !strings.Contains(err.Error(), "20000 bytes") {
			t.Errorf("%s: got %v", name, err)
		}
		if err := <-codes; !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
			t.Errorf("%s: the server got %v", name, err)
		}
	}
}

func TestReadEnds(t *testing.T) {
	t.Parallel()
	closed := func(code int) func(error) bool {
		return func(err error) bool {
			var e *dgbot.CloseError
			return errors.As(err, &e) && e.Code == code
		}
	}
	lost := func(err error) bool { return errors.Is(err, dgbot.ErrConnectionLost) }
	raw := func(b string) func(*websocket.Conn) {
		return func(ws *websocket.Conn) { _, _ = io.WriteString(ws.NetConn(), b) }
	}
	for name, tt := range map[string]struct {
		server func(*websocket.Conn)
		want   func(error) bool
	}{
		"close":              {raw("\x88\x02\x03\xf3"), closed(1011)},
		"close without code": {raw("\x88\x00"), closed(1005)},
		"end of socket":      {raw(""), lost},
		"end within a frame": {raw("\x81\x20{\"type\":"), lost},
		"end within header":  {raw("\x81"), lost},
		"reserved bits":      {raw("\xF1\x02{}"), lost},
		"masked":             {raw("\x81\x82\x00\x00\x00\x00{}"), lost},
		"fragment alone":     {raw("\x80\x02{}"), lost},
		"close of 1006":      {raw("\x88\x02\x03\xee"), lost},
		"length of 2^63":     {raw("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff{}"), func(err error) bool { return errors.Is(err, dgbot.ErrFrameTooBig) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, dgbot.Config{URL: serve(t, tt.server)})
			f, err := conn.Read()
			if !tt.want(err) || f.Type != "" {
				t.Errorf("got %+v, %v", f, err)
			}
			for range 1100 { // the library panics at the thousandth
				if _, again := conn.Read(); again != err {
					t.Fatalf("the error changed: %v, then %v", err, again)
				}
			}
			hidesSecrets(t, err)
		})
	}
}

func TestReadToTheEndBeforeTheClose(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]dgbotsim.Step{
		"close": {Close: &dgbotsim.Close{Code: 1000}}, "fin": {Drop: dgbotsim.DropFIN},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := simulator(t, dgbotsim.Script{Replies: []dgbotsim.Reply{{
				Steps: []dgbotsim.Step{{Stream: &dgbotsim.Stream{Text: "All of it is here"}}, step}}}})
			conn := dial(t, dgbot.Config{URL: sim.URL()})
			if err := conn.Send(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if err := sim.Await(soon(t), func(s dgbotsim.Stats) bool { return s.Open == 0 }); err != nil {
				t.Fatal(err)
			}
			if got := response(t, conn); got != "All of it is here" {
				t.Errorf("got %q", got)
			}
			if _, err := conn.Read(); err == nil {
				t.Error("the close was not seen")
			}
		})
	}
}

func TestCloseUnblocksRead(t *testing.T) {
	t.Parallel()
	sim := simulator(t, script(dgbotsim.Step{AgentLeft: true}))
	conn := dial(t, dgbot.Config{URL: sim.URL()})
	if _, err := conn.Read(); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read()
		read <- err
	}()
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if err := <-read; !errors.Is(err, dgbot.ErrClosed) {
		t.Errorf("Read got %v", err)
	}
	if err := conn.Send(t.Context(), "late"); !errors.Is(err, dgbot.ErrClosed) {
		t.Errorf("Send got %v", err)
	}
}

func TestCloseSaysGoodbye(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	conn := dial(t, dgbot.Config{URL: serve(t, func(ws *websocket.Conn) {
		_, _, err := ws.ReadMessage()
		got <- err
	})})
	_ = conn.Close()
	if err := <-got; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the server got %v", err)
	}
}

// A server that reads nothing more must not hold up anybody: Send ends with the write timeout, Close within its second, also
// while a Send is stuck.
func TestServerReadsNothing(t *testing.T) {
	t.Parallel()
	url := deaf(t)
	huge := strings.Repeat("x", 8<<20) // more than our own socket's buffer takes

	conn := dial(t, dgbot.Config{URL: url, WriteTimeout: 50 * time.Millisecond})
	if err := conn.Send(t.Context(), huge); !errors.Is(err, dgbot.ErrConnectionLost) {
		t.Errorf("write timeout: got %v", err)
	}

	conn = dial(t, dgbot.Config{URL: url, WriteTimeout: time.Hour})
	sent := make(chan error, 1)
	go func() { sent <- conn.Send(t.Context(), huge) }()
	began := time.Now()
	_ = conn.Close()
	if err := <-sent; !errors.Is(err, dgbot.ErrClosed) {
		t.Errorf("close: got %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Close took %s", d)
	}
}

// Cut waits for nobody: not for a server that reads nothing, nor for a message that is on its way to it.
func TestCutWaitsForNobody(t *testing.T) {
	t.Parallel()
	conn := dial(t, dgbot.Config{URL: deaf(t), WriteTimeout: time.Hour})
	sent := make(chan error, 1)
	go func() { sent <- conn.Send(t.Context(), strings.Repeat("x", 8<<20)) }()
	conn.Cut()
	if err := <-sent; !errors.Is(err, dgbot.ErrConnectionLost) {
		t.Errorf("Send got %v", err)
	}
	if _, err := conn.Read(); !errors.Is(err, dgbot.ErrConnectionLost) {
		t.Errorf("Read got %v", err)
	}
}

// A context that ends while a message is on its way ends Send.
func TestSendIsAborted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed our mind")
	release := make(chan struct{})
	url := serve(t, func(ws *websocket.Conn) {
		_ = ws.NetConn().(*net.TCPConn).SetReadBuffer(1)
		_, _ = ws.NetConn().Read(make([]byte, 1))
		cancel(why)
		<-release
	})
	t.Cleanup(func() { close(release) })
	conn := dial(t, dgbot.Config{URL: url, WriteTimeout: time.Hour})
	if err := conn.Send(ctx, strings.Repeat("x", 8<<20)); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestSendFromManyGoroutines(t *testing.T) {
	t.Parallel()
	sim := simulator(t, dgbotsim.Script{})
	conn := dial(t, dgbot.Config{URL: sim.URL(), PingEvery: time.Millisecond})
	const senders, each = 6, 10
	text := strings.Repeat("ä", 10_000) // several fragments, between which no ping may slip
	for range senders {
		go func() {
			for range each {
				if err := conn.Send(t.Context(), text); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	if err := sim.Await(soon(t), func(s dgbotsim.Stats) bool { return s.Messages == senders*each && s.Pings > 0 }); err != nil {
		t.Fatal(err)
	}
	for _, m := range sim.Received() {
		if m.Content != text || m.Key != testKey || m.Visitor != testVisitor {
			t.Fatalf("got %q of %q by %q", m.Content[:10], m.Key, m.Visitor)
		}
	}
	if s := sim.Stats(); s.BadFrames != 0 {
		t.Errorf("%d bad frames", s.BadFrames)
	}
}

func TestSendWithAnEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	sim := simulator(t, dgbotsim.Script{})
	conn := dial(t, dgbot.Config{URL: sim.URL()})
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := conn.Send(ctx, "never"); !errors.Is(err, ctx.Err()) {
		t.Errorf("got %v", err)
	}
	if err := conn.Send(t.Context(), "now"); err != nil {
		t.Fatal(err)
	}
	if err := sim.Await(soon(t), func(s dgbotsim.Stats) bool { return s.Messages == 1 }); err != nil {
		t.Fatal(err)
	}
	if got := sim.Received()[0].Content; got != "now" {
		t.Errorf("got %q", got)
	}
}
