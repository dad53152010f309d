package dgbotsim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visitor is a client written from the protocol document for these tests alone.
type visitor struct {
	t  *testing.T
	ws *websocket.Conn
}

func start(t *testing.T, s Script, opts ...Option) *Server {
	t.Helper()
	sim := New(s, append([]Option{WithSpeed(Instant)}, opts...)...)
	if err := sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim
}

func scripted(t *testing.T, yaml string) Script {
	t.Helper()
	s, err := ParseScript([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func handshake(sim *Server, key, id string) (*websocket.Conn, *http.Response, error) {
	q := url.Values{"key": {key}, "visitor_id": {id}}
	return websocket.DefaultDialer.Dial(sim.URL()+"?"+q.Encode(), nil)
}

func connect(t *testing.T, sim *Server, id string) *visitor {
	t.Helper()
	ws, _, err := handshake(sim, "demo", id)
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.SetReadDeadline(time.Now().Add(time.Minute)) // a mistake is to be a message, not a hang
	t.Cleanup(func() { _ = ws.Close() })
	return &visitor{t, ws}
}

func (v *visitor) say(content string) {
	v.t.Helper()
	v.write(fmt.Sprintf(`{"type":"message","content":%q}`, content))
}

func (v *visitor) write(frame string) {
	v.t.Helper()
	if err := v.ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		v.t.Fatal(err)
	}
}

func (v *visitor) read() string {
	v.t.Helper()
	_, b, err := v.ws.ReadMessage()
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b)
}

// expect reads frames and compares them to the letter, message ids the simulator made up aside.
func (v *visitor) expect(frames ...string) {
	v.t.Helper()
	for _, want := range frames {
		got := v.read()
		var m struct {
			ID string `json:"message_id"`
		}
		_ = json.Unmarshal([]byte(got), &m) // garbage has none
		if strings.HasPrefix(m.ID, "msg_0") {
			got = strings.Replace(got, m.ID, "ID", 1)
		}
		if got != want {
			v.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// answer reads an answer with n streams and returns the texts and the tools with their status.
func (v *visitor) answer(n int) (texts, tools []string) {
	v.t.Helper()
	text := map[string]string{}
	for len(texts) < n {
		var f map[string]string
		if err := json.Unmarshal([]byte(v.read()), &f); err != nil {
			v.t.Fatal(err)
		}
		switch f["type"] {
		case "stream_chunk":
			text[f["message_id"]] += f["content"]
		case "stream_end":
			texts = append(texts, text[f["message_id"]])
		case "tool_action_result":
			tools = append(tools, f["tool"]+" "+f["status"])
		}
	}
	return texts, tools
}

// ends reads until the connection ends.
func (v *visitor) ends() error {
	for {
		if _, _, err := v.ws.ReadMessage(); err != nil {
			return err
		}
	}
}

func await(t *testing.T, sim *Server, cond func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sim.Await(ctx, cond); err != nil {
		t.Fatal(err)
	}
}
