package dgbotsim

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// writeTimeout bounds a write to a client that reads nothing.
const writeTimeout = 10 * time.Second

// conn is one connection of a visitor. The handler's goroutine reads; whoever answers the visitor writes.
type conn struct {
	id   int64
	ws   *websocket.Conn
	mu   sync.Mutex // one writer
	gone context.Context
	end  context.CancelFunc // ends gone

}

func newConn(id int64, ws *websocket.Conn) *conn {
	c := &conn{id: id, ws: ws}
	c.gone, c.end = context.WithCancel(context.Background())
	return c
}

func (c *conn) send(frame []byte) error { return c.write(websocket.TextMessage, frame) }

func (c *conn) write(kind int, frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)) // never fails
	return c.written(c.ws.WriteMessage(kind, frame))
}

// writeRaw writes bytes that are WebSocket frames already.
func (c *conn) writeRaw(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.ws.NetConn().SetWriteDeadline(time.Now().Add(writeTimeout)) // fails where Write will
	_, err := c.ws.NetConn().Write(frames)
	return c.written(err)
}

// written cuts a connection that can't be written to, and says so in one word: the cause is the client's own.
func (c *conn) written(err error) error {
	if err == nil {
		return nil
	}
	c.drop(false)
	return errGone
}

// sleep waits for d, or until the connection or ctx ends. A wait that was cut short counts as done.
func (c *conn) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.gone.Done():
	case <-ctx.Done():
	}
	return nil
}

// wait returns when the connection or ctx ends.
func (c *conn) wait(ctx context.Context) {
	select {
	case <-c.gone.Done():
	case <-ctx.Done():
	}
}

// drop cuts the socket without a close frame: with a reset, or with what was written arriving first.
func (c *conn) drop(reset bool) {
	raw := c.ws.NetConn()
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok { // TLS would say goodbye
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // fails on a closed socket only
	}
	_ = raw.Close()
	c.end()
}

// close says goodbye and cuts.
func (c *conn) close(code int, reason string) {
	bye := websocket.FormatCloseMessage(code, reason)
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(100*time.Millisecond)) // it may be gone already
	c.drop(false)
}
