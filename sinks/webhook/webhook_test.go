package webhook_test

import (
	"io"
	"net"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

// Close lets go of a connection that is kept, long before its idle time is over.
func TestClose(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn)
		io.Copy(io.Discard, conn)
		close(ended)
	})
	s := newSink(t, webhook.Config{URL: r.url(), IdleTimeout: time.Hour})
	expect(t, deliver(t, s), sinks.Delivered)
	s.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}
