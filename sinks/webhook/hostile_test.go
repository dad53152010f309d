package webhook_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

const short = 100 * time.Millisecond // for the limit that a test is about; all others stay at their defaults

func TestCase27Refused(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", nil)
	r.Listener.Close()
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.url()})), sinks.Retry, "connection refused")
}

func TestCase27Reset(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
		readRequest(conn)
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.url()})), sinks.Retry, "connection reset")
	if r.accepted() != 1 {
		t.Errorf("%d connections: a new one that broke was not stale, and must not be tried again", r.accepted())
	}
}

func TestCase27Closed(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) { readRequest(conn); conn.Close() })
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.url()})), sinks.Retry, "EOF")
	if r.accepted() != 1 {
		t.Errorf("%d connections, want 1", r.accepted())
	}
}

func TestCase28Silent(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", answering(""))
	s := newSink(t, webhook.Config{URL: r.url(), HeaderTimeout: short})
	v := deliver(t, s)
	expect(t, v, sinks.Retry, "no response headers within 100ms")
	if v.Address != r.Addr().String() {
		t.Errorf("address %q", v.Address)
	}
}

func TestCase29HeadersDripped(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", dripping("HTTP/1.1 200 OK\r\n", "X: y\r\n"))
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.url(), HeaderTimeout: short})), sinks.Retry, "no response headers within 100ms")
}

// dripping sends a piece every 10 ms, for as long as anybody listens.
func dripping(start, piece string) func(net.Conn) {
	return func(conn net.Conn) {
		if !readRequest(conn) {
			return
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for _, err := io.WriteString(conn, start); err == nil; _, err = io.WriteString(conn, piece) {
			<-tick.C
		}
	}
}

func TestCase30NeverReadsTheBody(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) { conn.(*net.TCPConn).SetReadBuffer(1 << 10) })
	d := delivery()
	d.Body = make([]byte, 32<<20) // more than the kernel's buffers hold
	v := newSink(t, webhook.Config{URL: r.url(), Timeout: short}).Deliver(t.Context(), d)
	expect(t, v, sinks.Retry, "no answer within 100ms")
}

// Case 31: after the status nothing changes the verdict, and the excerpt has a limit in bytes and in time.
func TestCase31BodyAfterA200(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for name, handle := range map[string]func(net.Conn){
		"dripped":              dripping(head+"Content-Length: 1000000\r\n\r\n", "drip "),
		"endless":              flooding(head+"\r\n", strings.Repeat("x", 1<<16)),
		"endless chunks":       flooding(head+"Transfer-Encoding: chunked\r\n\r\n", "10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n"),
		"cut":                  closing(head + "Content-Length: 1000\r\n\r\nhalf of it"),
		"cut in a chunk":       closing(head + "Transfer-Encoding: chunked\r\n\r\n40\r\nhalf of it"),
		"garbage for a chunk":  closing(head + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n\x00"),
		"announced, not sent":  answering(head + "Content-Length: 1000\r\n\r\n"),
		"says nothing, closes": closing(head + "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSink(t, webhook.Config{URL: newRaw(t, "127.0.0.1:0", handle).url(), BodyTimeout: short})
			began := time.Now()
			v := deliver(t, s)
			expect(t, v, sinks.Delivered)
			if v.Status != 200 || len(v.Excerpt) > 16<<10 || time.Since(began) > 5*time.Second {
				t.Errorf("status %d, %d bytes, after %s", v.Status, len(v.Excerpt), time.Since(began))
			}
		})
	}
}

// However fast it comes and however long it goes on, no more is read than DrainBytes: neither time limit is reached.
func TestCase31DrainIsCapped(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", flooding("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16)))
	began := time.Now()
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.url(), BodyTimeout: time.Minute})), sinks.Delivered)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// flooding sends a piece as often as it is taken.
func flooding(start, piece string) func(net.Conn) {
	return func(conn net.Conn) {
		if !readRequest(conn) {
			return
		}
		for _, err := io.WriteString(conn, start); err == nil; _, err = io.WriteString(conn, piece) {
		}
	}
}

func closing(text string) func(net.Conn) {
	return func(conn net.Conn) { answering(text)(conn); conn.Close() }
}

// Case 32: 10 MB of zeros in 10 kB; we never ask for compression and never expand it.
func TestCase32GzipBomb(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	v := deliver(t, newSink(t, webhook.Config{URL: r.URL}))
	expect(t, v, sinks.Delivered)
	if r.only(t).Header.Get("Accept-Encoding") != "" || !strings.HasPrefix(v.Excerpt, "\ufffd\ufffd") || len(v.Excerpt) > 16<<10 {
		t.Errorf("Accept-Encoding %q, excerpt of %d bytes: %.20q", r.only(t).Header.Get("Accept-Encoding"), len(v.Excerpt), v.Excerpt)
	}
}

func TestCase33HugeHeaders(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(net.Conn){
		"1 MB of headers": flooding("HTTP/1.1 200 OK\r\n", "X-Fill: "+strings.Repeat("x", 1<<10)+"\r\n"),
		"one long header": flooding("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1<<10)),
		"endless 103":     flooding("", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"),
		"endless 100":     flooding("", "HTTP/1.1 100 Continue\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := deliver(t, newSink(t, webhook.Config{URL: newRaw(t, "127.0.0.1:0", handle).url()}))
			expect(t, v, sinks.Retry, "exceeded")
		})
	}
}

func TestCase34SwitchingProtocols(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
		answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")(conn)
		io.Copy(io.Discard, conn)
		close(closed)
	})
	v := deliver(t, newSink(t, webhook.Config{URL: r.url()}))
	expect(t, v, sinks.Limited, "101")
	<-closed // the connection is let go of, not kept
}

func TestCase35RedirectLoop(t *testing.T) {
	t.Parallel()
	for _, code := range []int{300, 301, 302, 303, 304, 307, 308} {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", "http://"+req.Host+"/")
			w.WriteHeader(code)
		})
		v := deliver(t, newSink(t, webhook.Config{URL: r.URL}))
		expect(t, v, sinks.Permanent, fmt.Sprint(code), "redirects are not followed")
		r.only(t)
	}
}

func TestCase37NotHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, reason string }{
		"garbage":                     {"\x00\x01\x02\x1b[31m\xff\r\n\r\n", "malformed HTTP"},
		"SSH banner":                  {"SSH-2.0-OpenSSH_9.6\r\n", "malformed HTTP"},
		"HTML":                        {"<html>\r\n\r\n", "malformed HTTP"},
		"TLS alert":                   {"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", "malformed HTTP"},
		"two Content-Lengths":         {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "Content-Length"},
		"bad Content-Length":          {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"},
		"unknown Transfer-Encoding":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\n", "transfer encoding"},
		"status that is not a number": {"HTTP/1.1 2OO OK\r\n\r\n", "malformed HTTP"},
		"HTTP/2 by itself":            {"HTTP/2.0 200 OK\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := deliver(t, newSink(t, webhook.Config{URL: newRaw(t, "127.0.0.1:0", closing(c.answer)).url()}))
			if name == "HTTP/2 by itself" {
				expect(t, v, sinks.Delivered) // harmless: it is still one line of text
				return
			}
			expect(t, v, sinks.Retry, c.reason)
			if strings.ContainsAny(v.Reason, "\x00\x1b\r\n") || !utf8.ValidString(v.Reason) || len(v.Reason) > 512 {
				t.Errorf("reason %q", v.Reason)
			}
		})
	}
}

// Case 39: a kept connection that the receiver has closed meanwhile costs no attempt; the same request goes out again.
func TestCase39StaleConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){
		"FIN":                        func(conn net.Conn) { conn.Close() },
		"RST":                        func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0); conn.Close() },
		"closed on the next request": func(conn net.Conn) { bufio.NewReader(conn).ReadByte(); conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served := make(chan struct{}, 10)
			r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
				answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn)
				served <- struct{}{}
				end(conn)
			})
			s := newSink(t, webhook.Config{URL: r.url()})
			expect(t, deliver(t, s), sinks.Delivered)
			<-served
			for range 10 {
				v := deliver(t, s)
				expect(t, v, sinks.Delivered)
				<-served
			}
		})
	}
}

// The retry says that it took place, and it is one: a connection that breaks anew is not stale.
func TestCase39OneRetry(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
		if connections.Add(1) == 1 {
			answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn)
		}
		readRequest(conn)
		conn.Close()
	})
	s := newSink(t, webhook.Config{URL: r.url()})
	expect(t, deliver(t, s), sinks.Delivered)
	expect(t, deliver(t, s), sinks.Retry, "sent again at once: the kept connection was stale", "EOF")
	if r.accepted() != 2 {
		t.Errorf("%d connections, want 2", r.accepted())
	}
}

// A receiver that took the request and broke while it worked is not a stale connection, and sees it once an attempt.
func TestCase39WorkedAndBroke(t *testing.T) {
	t.Parallel()
	for name, breakOff := range map[string]func(net.Conn){
		"after a while":          func(conn net.Conn) { <-time.After(2 * short) },
		"after a byte":           func(conn net.Conn) { io.WriteString(conn, "H") },
		"after an informational": func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) {
				from := bufio.NewReader(conn)
				readNext(from)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				readNext(from)
				breakOff(conn)
				conn.Close()
			})
			s := newSink(t, webhook.Config{URL: r.url(), StaleWithin: short})
			expect(t, deliver(t, s), sinks.Delivered)
			v := deliver(t, s)
			expect(t, v, sinks.Retry)
			if strings.Contains(v.Reason, "again") || r.accepted() != 1 {
				t.Errorf("reason %q, %d connections", v.Reason, r.accepted())
			}
		})
	}
}

// Case 40 as far as one attempt goes: a worker that was killed between a 200 and its commit delivers again, and the
// receiver can tell by the id. What stays the same does so to the byte; timestamp and signature are the attempt's own.
func TestCase40SameIDAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	for range 2 { // two workers: the second took over
		expect(t, newSink(t, webhook.Config{URL: r.URL}).Deliver(context.Background(), delivery()), sinks.Delivered)
	}
	first, second := r.requests()[0], r.requests()[1]
	if first.Header.Get("webhook-id") != delivery().ID || second.Header.Get("webhook-id") != delivery().ID || first.body != second.body {
		t.Errorf("%v %q and %v %q", first.Header, first.body, second.Header, second.body)
	}
	verify(t, secret, first)
	verify(t, secret, second)
}
