package dgbot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Conn is one open connection. One goroutine reads; Send and Close may be called from any.
type Conn struct {
	ws   *websocket.Conn
	cfg  limits
	ping pinger

	writing sync.Mutex // one data frame at a time: messages and pings
	closed  atomic.Bool

	// Of the reading goroutine.
	buf     *bytes.Buffer // backs the last frame's Raw
	ids     memo
	readErr error

	badJSON, binary atomic.Int32
}

type limits struct {
	writeTimeout time.Duration
	maxFrame     int64
}

// closeWait bounds what Close does to be polite.
const closeWait = time.Second

var readBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keepBuffer is the largest read buffer that goes back to the pool: one huge frame must not be remembered for ever.
const keepBuffer = 64 << 10

func newConn(ws *websocket.Conn, cfg Config) *Conn {
	c := &Conn{ws: ws, cfg: limits{writeTimeout: cfg.WriteTimeout, maxFrame: int64(cfg.MaxFrame)}}
	ws.SetReadLimit(c.cfg.maxFrame)
	c.ping.start(cfg.PingEvery, c.sendPing)
	return c
}

// Send sends content as the visitor's message, until ctx ends or the write timeout has passed. If ctx had ended before
// anything was written, nothing has happened. After any other error the message may have left in part or in whole, and
// the connection is of no further use: close it.
func (c *Conn) Send(ctx context.Context, content string) error {
	frame := AppendMessage(nil, content)
	c.writing.Lock()
	defer c.writing.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("send message: %w", context.Cause(ctx))
	}
	settle := c.cutWith(ctx)
	err := c.write(frame)
	if settle() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// cutWith cuts the connection if ctx ends while a message is on its way: what has left of it can't be taken back, and a
// deadline would not do, since the library sets its own before each fragment. What it returns ends that, and reports
// whether it came to the cut.
func (c *Conn) cutWith(ctx context.Context) (settle func() bool) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		c.Cut()
	})
	return func() bool {
		if stop() {
			return false
		}
		<-done // whoever starts a goroutine waits for it
		return true
	}
}

// write sends one text frame. The caller holds writing.
func (c *Conn) write(frame []byte) error {
	if c.closed.Load() {
		return ErrClosed
	}
	c.ws.SetWriteDeadline(time.Now().Add(c.cfg.writeTimeout))
	err := c.ws.WriteMessage(websocket.TextMessage, frame)
	switch {
	case err == nil:
		return nil
	case c.closed.Load():
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, err)
}

// Read blocks for the next frame that can be parsed. Binary frames and frames that Parse refuses are skipped and
// counted; unknown types are returned with Known false. The frame's Raw is valid until the next Read, everything else for
// good.
//
// An error ends the reading: ErrFrameTooBig, a CloseError if the bot closed, ErrClosed after Close, or ErrConnectionLost
// with its cause. Later calls return the same error. Read has no time limit: Close ends it.
func (c *Conn) Read() (Frame, error) {
	c.release()
	for c.readErr == nil {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.fail(err)
			break
		}
		if kind == websocket.BinaryMessage {
			c.binary.Add(1) // NextReader passes over what is left of it, within the limit
			continue
		}
		var f Frame
		ok, err := c.readFrame(r, &f)
		switch {
		case err != nil:
			c.fail(err)
		case ok:
			return f, nil
		}
	}
	return Frame{}, c.readErr
}

// readFrame takes a buffer only now, so that a connection that waits holds none.
func (c *Conn) readFrame(r io.Reader, f *Frame) (bool, error) {
	c.buf = readBuffers.Get().(*bytes.Buffer)
	if _, err := c.buf.ReadFrom(r); err != nil {
		c.release()
		return false, err
	}
	if err := parse(c.buf.Bytes(), f, &c.ids); err != nil {
		c.badJSON.Add(1)
		c.release()
		return false, nil
	}
	return true, nil
}

func (c *Conn) release() {
	if c.buf == nil {
		return
	}
	if c.buf.Cap() <= keepBuffer {
		c.buf.Reset()
		readBuffers.Put(c.buf)
	}
	c.buf = nil
}

// fail keeps the reason why reading ended, in this package's words, and stops the pings: nobody is there.
func (c *Conn) fail(err error) {
	c.ping.stop()
	var peer *websocket.CloseError
	switch {
	case c.closed.Load():
		err = ErrClosed
	case errors.Is(err, websocket.ErrReadLimit):
		err = fmt.Errorf("%w of %d bytes", ErrFrameTooBig, c.cfg.maxFrame)
	case errors.As(err, &peer) && peer.Code != websocket.CloseAbnormalClosure:
		err = &CloseError{Code: peer.Code, Reason: peer.Text}
	case errors.As(err, &peer): // never on the wire: the library's word for a socket that ended without a close frame
		err = fmt.Errorf("%w: %w", ErrConnectionLost, io.ErrUnexpectedEOF)
	default:
		err = fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	c.readErr = fmt.Errorf("read frame: %w", err)
}

// Skipped returns how many frames Read passed over: those that Parse refused, and binary ones.
func (c *Conn) Skipped() (badJSON, binary int) {
	return int(c.badJSON.Load()), int(c.binary.Load())
}

// Close says goodbye with a close frame if the socket takes it within a second, closes the socket, and waits for a ping
// that is under way. It unblocks Read and Send. Only the first call does anything; it always returns nil.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.ping.stop()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(closeWait)) // politeness may fail
	c.Cut()
	c.ping.wait()
	return nil
}

// Cut ends the connection at once: no goodbye, and no waiting for anybody, be it a Send that is under way. Close is still to
// be called. It closes the TCP socket below: closing TLS would wait up to five seconds for a peer that takes nothing.
func (c *Conn) Cut() {
	conn := c.ws.NetConn()
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}
