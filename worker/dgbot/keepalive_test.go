package dgbot_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"dgworker/worker/dgbot"
	"dgworker/worker/dgbot/dgbotsim"

	"github.com/gorilla/websocket"
)

// Pings go on while a tool runs and no frame comes, and while nobody reads; the server closes connections without them.
func TestPingsGoOnThroughSilence(t *testing.T) {
	t.Parallel()
	sim := simulator(t, dgbotsim.Script{Replies: []dgbotsim.Reply{{Steps: []dgbotsim.Step{{Tool: &dgbotsim.Tool{Name: "slow", Takes: time.Hour}}}}}},
		dgbotsim.WithIdleTimeout(10*time.Second))
	conn := dial(t, dgbot.Config{URL: sim.URL(), PingEvery: 2 * time.Millisecond})
	if err := conn.Send(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if f, err := conn.Read(); err != nil || f.Status != "calling" {
		t.Fatalf("got %+v, %v", f, err)
	}
	if err := sim.Await(soon(t), func(s dgbotsim.Stats) bool { return s.Pings >= 25 }); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := sim.Await(soon(t), func(s dgbotsim.Stats) bool { return s.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if s := sim.Stats(); s.BadFrames+s.Unknown != 0 {
		t.Errorf("the pings were not what the document asks for: %+v", s)
	}
}

// A ping is JSON text, to the letter of the document.
func TestPingFrame(t *testing.T) {
	t.Parallel()
	type frame struct {
		kind int
		text string
	}
	got := make(chan frame, 1)
	dial(t, dgbot.Config{PingEvery: time.Millisecond, URL: serve(t, func(ws *websocket.Conn) {
		kind, b, _ := ws.ReadMessage()
		got <- frame{kind, string(b)}
	})})
	if f := <-got; f.kind != websocket.TextMessage || f.text != `{"type":"ping"}` {
		t.Errorf("got %+v", f)
	}
}

func TestControlPingIsAnswered(t *testing.T) {
	t.Parallel()
	pong := make(chan string, 1)
	conn := dial(t, dgbot.Config{URL: serve(t, func(ws *websocket.Conn) {
		ws.SetPongHandler(func(s string) error { pong <- s; return nil })
		_ = ws.WriteControl(websocket.PingMessage, []byte("hi"), time.Now().Add(time.Second))
		_, _, _ = ws.ReadMessage()
	})})
	read := make(chan error, 1)
	go func() { _, err := conn.Read(); read <- err }()
	if s := <-pong; s != "hi" {
		t.Errorf("got %q", s)
	}
	_ = conn.Close()
	<-read
}

// A ping that can't leave ends the Read that would wait for ever.
func TestPingFindsADeadPeer(t *testing.T) {
	t.Parallel()
	conn := dial(t, dgbot.Config{URL: deaf(t), PingEvery: time.Nanosecond, WriteTimeout: 100 * time.Millisecond})
	_, err := conn.Read() // until the socket's buffers are full of pings
	if !errors.Is(err, dgbot.ErrConnectionLost) || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
