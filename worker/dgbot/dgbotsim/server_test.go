package dgbotsim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestHandshakeRefused(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, `
refuse:
- {key: ^demo$, visitor: ^slow, status: 429, retry_after: 7s, times: 1}
- {visitor: ^moved, status: 302}
`), WithKeys("demo", "other"), WithUnknownKeyStatus(404))
	for _, tt := range []struct {
		query  string
		status int
		retry  string
	}{
		{"?visitor_id=v", 400, ""}, {"?key=demo", 400, ""}, {"?key=&visitor_id=v", 400, ""},
		{"?key=nobody&visitor_id=v", 404, ""}, {"?key=other&visitor_id=slow", 101, ""},
		{"?key=demo&visitor_id=slow", 429, "7"}, {"?key=demo&visitor_id=slow", 101, ""}, {"?key=demo&visitor_id=moved", 302, ""},
	} {
		ws, resp, err := websocket.DefaultDialer.Dial(sim.URL()+tt.query, nil)
		if err == nil {
			defer ws.Close()
		}
		if resp == nil || resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retry {
			t.Errorf("%s: got %+v, %v", tt.query, resp, err)
		}
	}
	await(t, sim, func(s Stats) bool { return s.Refused == 6 && s.Connections == 2 })
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	sim := New(Script{})
	srv := httptest.NewServer(sim)
	t.Cleanup(func() { _ = sim.Close(); srv.Close() })
	for path, want := range map[string]int{
		"/": 404, "/wsx?key=k&visitor_id=v": 404,
		"/ws?key=k&visitor_id=v": 400, "/bots/eu/ws?key=k&visitor_id=v": 400, // found, but no handshake
	} {
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestObserves(t *testing.T) {
	t.Parallel()
	seen := make(chan Message, 10)
	var opened, closed bytes.Buffer
	sim := start(t, Script{}, OnMessage(func(m Message) { seen <- m }),
		OnOpen(func(key, visitor string, n int) { opened.WriteString(key + visitor) }),
		OnClose(func(key, visitor string, n int) { closed.WriteString(key + visitor) }))
	v := connect(t, sim, "v")
	for _, frame := range []string{
		`{ "type": "ping" }`, `{"type":"ping"}`, `{"type":"typing"}`, `[]`, `{`, `{"type":"message"}`, `{"type":"message","content":3}`,
		`{"type":"message","content":"","extra":1}`,
	} {
		v.write(frame)
	}
	_ = v.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`))
	v.say("last")
	if m := <-seen; m.Content != "" || m.Key != "demo" || m.Visitor != "v" || m.ConnID != 1 || time.Since(m.At) > time.Minute {
		t.Errorf("got %+v", m)
	}
	<-seen
	_ = v.ws.Close()
	await(t, sim, func(s Stats) bool { return s.Open == 0 && s.Messages == 2 })
	if s := sim.Stats(); s.Pings != 2 || s.Unknown != 1 || s.BadFrames != 5 || s.Connections != 1 {
		t.Errorf("got %+v", s)
	}
	if got := sim.Received(); len(got) != 2 || got[1].Content != "last" {
		t.Errorf("received %+v", got)
	}
	_ = sim.Close()
	if opened.String() != "demov" || closed.String() != "demov" {
		t.Errorf("opened %q, closed %q", opened.String(), closed.String())
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	sim := start(t, Script{}, WithHistory(10))
	v := connect(t, sim, "v")
	for range 95 {
		v.say("x")
	}
	v.say("last")
	await(t, sim, func(s Stats) bool { return s.Messages == 96 })
	if got := sim.Received(); len(got) < 10 || len(got) > 20 || got[len(got)-1].Content != "last" {
		t.Errorf("%d messages remembered", len(got))
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	sim := start(t, Script{}, WithIdleTimeout(100*time.Millisecond))
	if err := connect(t, sim, "v").ends(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "on_reconnect: resume\nreplies:\n- match: wait\n  steps: [{wait: 1h}]\n- match: drop\n  steps: [{drop: rst}, {tool: x}]\n- steps: [{silence: true}]\n"), WithSpeed(1))
	visitors := []*visitor{connect(t, sim, "a"), connect(t, sim, "b"), connect(t, sim, "c"), connect(t, sim, "d")}
	for i, message := range []string{"wait", "silence", "drop"} {
		visitors[i].say(message)
	}
	await(t, sim, func(s Stats) bool { return s.Messages == 3 && s.Open == 3 })
	if err := errors.Join(sim.Close(), sim.Close()); err != nil {
		t.Error(err)
	}
	if err := visitors[3].ends(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v", err)
	}
	if s := sim.Stats(); s.Open != 0 || s.Answered != 0 {
		t.Errorf("got %+v", s)
	}
	if err := sim.Start("127.0.0.1:0"); err == nil {
		t.Error("Start after Close")
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", "/ws?key=k&visitor_id=v", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a handshake after Close: %d", w.Code)
	}
}

func TestCloseWaits(t *testing.T) {
	t.Parallel()
	entered, release := make(chan bool), make(chan bool)
	finished := false
	sim := start(t, Script{}, OnClose(func(string, string, int) {
		close(entered)
		<-release
		for range 10_000 {
			runtime.Gosched()
		}
		finished = true
	}))
	connect(t, sim, "v")
	await(t, sim, func(s Stats) bool { return s.Open == 1 })
	closed := make(chan error)
	go func() { closed <- sim.Close() }()
	<-entered
	close(release)
	if err := <-closed; err != nil || !finished {
		t.Errorf("Close returned %v before a handler had ended: %v", err, !finished)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	if url := New(Script{}).URL(); url != "" {
		t.Errorf("URL before Start is %q", url)
	}
	sim := start(t, Script{})
	if err := sim.Start("127.0.0.1:0"); err == nil {
		t.Error("two Starts")
	}
	other := New(Script{})
	if err := other.Start(strings.TrimSuffix(strings.TrimPrefix(sim.URL(), "ws://"), "/ws")); err == nil || !strings.Contains(err.Error(), "start simulator: ") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestDropAll(t *testing.T) {
	t.Parallel()
	sim := start(t, Script{})
	v := connect(t, sim, "v")
	await(t, sim, func(s Stats) bool { return s.Open == 1 })
	sim.DropAll(true)
	if err := v.ends(); websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v", err)
	}
	await(t, sim, func(s Stats) bool { return s.Open == 0 })
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := start(t, Script{}).Await(ctx, func(Stats) bool { return false }); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
