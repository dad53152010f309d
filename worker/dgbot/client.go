package dgbot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Client opens connections to one bot. It is safe for use by several goroutines.
type Client struct {
	cfg    Config
	url    *url.URL
	dialer websocket.Dialer
}

// writeBuffers is shared by all clients: a buffer is held while a frame is written, not while a connection is open. One
// holds all but the longest messages, which leave as several fragments.
var writeBuffers sync.Pool

const (
	readBufferSize  = 512 // less gains nothing more: it holds the largest control frame and most chunks
	writeBufferSize = 16 << 10
)

// New checks cfg and makes a client of it. The error lists every mistake.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	u, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("configure bot: %w", err)
	}
	c := &Client{cfg: cfg, url: u}
	c.dialer = websocket.Dialer{
		NetDialContext:   dialTCP,
		Proxy:            http.ProxyFromEnvironment,
		HandshakeTimeout: cfg.ConnectTimeout,
		TLSClientConfig:  clientTLS(cfg.TLS),
		ReadBufferSize:   readBufferSize,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  &writeBuffers,
	}
	return c, nil
}

func clientTLS(given *tls.Config) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if given != nil {
		t = given.Clone()
	}
	t.NextProtos = nil // HTTP/2 can't carry this handshake
	if t.ClientSessionCache == nil {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(64) // spares the server its signature on each dial
	}
	return t
}

// Dial connects as visitorID and returns once the handshake is through. It fails with a RefusedError if the server
// answers with a status, with ctx's cause if ctx ends, with an error that wraps os.ErrDeadlineExceeded after the connect
// timeout, and else with the network's error. Ending ctx after Dial has returned does nothing to the connection.
func (c *Client) Dial(ctx context.Context, visitorID string) (*Conn, error) {
	if visitorID == "" {
		return nil, fmt.Errorf("connect to %s: visitor id is empty", c.url.Host)
	}
	cut := &cutter{ctx: ctx}
	target := c.target(visitorID)
	ws, resp, err := c.dialer.DialContext(context.WithValue(ctx, cutKey{}, cut), target, nil)
	if !cut.release() && err == nil { // ctx ended after the last byte of the handshake
		_ = ws.Close()
		err = context.Cause(ctx)
	}
	if err == nil && resp.Header.Get("Sec-Websocket-Extensions") != "" {
		_ = ws.Close() // the library would go along with a compression that it didn't ask for
		err = fmt.Errorf("%w: it switched on an extension that was not offered", ErrHandshake)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.url.Host, c.dialError(ctx, target, visitorID, resp, err))
	}
	return newConn(ws, c.cfg), nil
}

func (c *Client) target(visitorID string) string {
	u := *c.url
	q := u.Query()
	q.Set("key", c.cfg.Key)
	q.Set("visitor_id", visitorID)
	u.RawQuery = q.Encode()
	return u.String()
}

func (c *Client) dialError(ctx context.Context, target, visitorID string, resp *http.Response, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var network net.Error
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode != http.StatusSwitchingProtocols:
		body, _ := io.ReadAll(resp.Body) // at most 1,024 bytes, already in memory
		return &RefusedError{
			Status:     resp.StatusCode,
			RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
			Body:       redact(Clean(string(body)), c.cfg.Key, visitorID),
		}
	case errors.Is(err, websocket.ErrBadHandshake):
		return ErrHandshake
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer within %s: %w", c.cfg.ConnectTimeout, os.ErrDeadlineExceeded)
	}
	return withoutQuery(target, err)
}

// cutter closes the socket of a handshake whose context ends; the library heeds a context's deadline only. It minds the
// caller's context, because the library ends its own at the end of every handshake.
type cutter struct {
	ctx  context.Context
	stop func() bool
}

type cutKey struct{}

func dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if cut, ok := ctx.Value(cutKey{}).(*cutter); ok {
		cut.stop = context.AfterFunc(cut.ctx, func() { conn.Close() })
	}
	return conn, nil
}

// release lets go of the context. It is false if the socket was closed, or is about to be.
func (c *cutter) release() bool { return c.stop == nil || c.stop() }
