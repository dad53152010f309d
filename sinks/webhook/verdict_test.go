package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

func TestVerdictOfAStatus(t *testing.T) {
	t.Parallel()
	classes := map[sinks.Class][]int{
		sinks.Delivered: {200, 201, 202, 204, 205, 206, 226, 299},
		sinks.Permanent: {300, 304, 308, 399},
		sinks.Gone:      {410},
		sinks.Retry:     {408, 429, 500, 501, 502, 503, 504, 511, 599},
		sinks.Limited:   {400, 401, 402, 403, 404, 405, 409, 411, 413, 415, 418, 421, 422, 425, 426, 428, 431, 451, 499, 600, 999},
	}
	for class, codes := range classes {
		for _, code := range codes {
			r := newRaw(t, "127.0.0.1:0", closing(fmt.Sprintf("HTTP/1.1 %d Their own\x1b[31m words\r\nContent-Length: 0\r\n\r\n", code)))
			v := deliver(t, newSink(t, webhook.Config{URL: r.url()}))
			expect(t, v, class)
			if v.Status != code || v.Address != r.Addr().String() || v.RetryAfter != 0 || (class == sinks.Limited) != (v.MaxAttempts == 3) {
				t.Errorf("%d: %+v", code, v)
			}
			if strings.Contains(v.Reason, "words") {
				t.Errorf("%d: the reason %q is theirs", code, v.Reason)
			}
		}
	}
}

// A 410 is about the endpoint only where the address was all the endpoint's own.
func TestGone(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	s := newSink(t, webhook.Config{URL: r.URL + "/hooks?k=v"})
	for _, c := range []struct {
		path, query string
		class       sinks.Class
	}{{"", "", sinks.Gone}, {"/orders/1", "", sinks.Permanent}, {"", "a=b", sinks.Permanent}} {
		d := delivery()
		d.Path, d.Query = c.path, c.query
		expect(t, s.Deliver(t.Context(), d), c.class, "410 Gone")
	}
}

// Case 38: odd values of Retry-After are cut to what makes sense, or ignored.
func TestCase38RetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for value, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, "120": 2 * time.Minute, " 7 ": 7 * time.Second, "007": 7 * time.Second, "86400": day,
		"86401": day, "9223372036": day, "9223372037": day, "18446744073709551616": day, strings.Repeat("9", 400): day,
		"-5": 0, "+5": 0, "1.5": 0, "1e3": 0, "0x10": 0, "5 seconds": 0, "soon": 0, "": 0, " ": 0, "٣": 0, "1,2": 0, "-99999999999999999999": 0,
		"Sun, 01 Nov 2026 12:01:00 GMT":   time.Minute,
		"Sunday, 01-Nov-26 12:01:00 GMT":  time.Minute,
		"Sun Nov  1 12:01:00 2026":        time.Minute,
		"Sun, 01 Nov 2026 11:59:00 GMT":   0,
		"Thu, 01 Jan 1970 00:00:00 GMT":   0,
		"Thu, 01 Jan 2099 00:00:00 GMT":   day,
		"Fri, 31 Dec 9999 23:59:59 GMT":   day,
		"2026-11-01T12:01:00Z":            0,
		"Sun, 01 Nov 2026 12:01:00 +0900": 0,
	} {
		if got := webhook.RetryAfter(value, now, day); got != want {
			t.Errorf("Retry-After %q gives %s, want %s", value, got, want)
		}
	}
}

func TestCase38OnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code  int
		value string
		want  time.Duration
	}{{429, "30", 30 * time.Second}, {503, "30", 30 * time.Second}, {503, "-5", 0}, {503, "99999999999", time.Hour}, {500, "30", 0}, {200, "30", 0}, {404, "30", 0}} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.value)
			w.WriteHeader(c.code)
		})
		if v := deliver(t, newSink(t, webhook.Config{URL: r.URL, MaxRetryAfter: time.Hour})); v.RetryAfter != c.want {
			t.Errorf("%d with Retry-After %s: %s, want %s", c.code, c.value, v.RetryAfter, c.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                              "",
		`{"error":"no such order"}`:     `{"error":"no such order"}`,
		"two\r\nlines":                  "two  lines",
		"\x1b]0;owned\x07\x00\u202e":    "\ufffd]0;owned\ufffd\ufffd\ufffd",
		"\xff\xfeutf":                   "\ufffd\ufffdutf",
		"echo " + headerSecret + " end": "echo [redacted] end",
		"echo " + secret:                "echo [redacted]",
		strings.Repeat("é", 10<<10):     strings.Repeat("é", 8<<10),
		"x" + strings.Repeat("é", 9000): "x" + strings.Repeat("é", 8191), // 16 KiB less one byte: cut between characters
	} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); io.WriteString(w, body) })
		v := deliver(t, newSink(t, webhook.Config{URL: r.URL, Headers: map[string]string{"X-Api-Key": headerSecret}}))
		if got := strings.TrimSuffix(v.Excerpt, "\ufffd"); got != strings.TrimSuffix(want, "\ufffd") {
			t.Errorf("body %.30q: excerpt %.60q of %d bytes, want %.60q of %d", body, v.Excerpt, len(v.Excerpt), want, len(want))
		}
	}
}

// After every kind of answer that ends, the connection is used again: an undrained body would cost most of the throughput.
func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 16 << 10, 17 << 10, 64 << 10} {
		addresses := map[string]bool{}
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			addresses[req.RemoteAddr] = true
			w.Write(make([]byte, size))
		})
		s := newSink(t, webhook.Config{URL: r.URL})
		for range 3 {
			expect(t, deliver(t, s), sinks.Delivered)
		}
		if len(addresses) != 1 {
			t.Errorf("body of %d bytes: %d connections, want 1", size, len(addresses))
		}
	}
}

func TestReasonOfAnEndedAttempt(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", answering(""))
	s := newSink(t, webhook.Config{URL: r.url() + "?token=in-the-query", Timeout: short})
	expect(t, deliver(t, s), sinks.Retry, "no answer within 100ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("draining"))
	expect(t, s.Deliver(ctx, delivery()), sinks.Retry, "the attempt was stopped: draining")
}
