package dgbot

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// How a connection ends, beside CloseError.
var (
	ErrClosed         = errors.New("connection is closed")                                      // by our own Close
	ErrConnectionLost = errors.New("connection lost")                                           // cut without a close frame, or WebSocket broken
	ErrFrameTooBig    = errors.New("frame is bigger than the limit")                            // the peer was told so (code 1009)
	ErrHandshake      = errors.New("server does not answer the WebSocket handshake as it must") // a 101 that is none
)

// CloseError says that the bot closed the connection with a close frame.
type CloseError struct {
	Code   int    // RFC 6455, section 7.4; 1005 if the frame had none
	Reason string // may be empty
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("bot closed the connection with code %d", e.Code)
	}
	return fmt.Sprintf("bot closed the connection with code %d: %q", e.Code, e.Reason)
}

// RefusedError says that the handshake was answered with an HTTP status other than 101, a redirect among them.
type RefusedError struct {
	Status     int
	RetryAfter time.Duration // from 0 (also: not given) to 24 h
	Body       string        // up to 1,024 bytes, without the key and the visitor's id; not part of Error
}

func (e *RefusedError) Error() string {
	msg := fmt.Sprintf("bot refused the connection with status %d", e.Status)
	if text := http.StatusText(e.Status); text != "" {
		msg += " " + text
	}
	if e.Status >= 300 && e.Status < 400 {
		msg += " (redirects are not followed: configure the URL that it leads to)"
	}
	if e.RetryAfter > 0 {
		msg += fmt.Sprintf(", retry after %s", e.RetryAfter)
	}
	return msg
}

// Temporary reports whether the same handshake may pass later: 408, 429 and 5xx.
func (e *RefusedError) Temporary() bool {
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

const maxRetryAfter = 24 * time.Hour

// retryAfter reads a Retry-After header, seconds or a date. What it can't read is 0.
func retryAfter(h string, now time.Time) time.Duration {
	h = strings.TrimSpace(h)
	if t, err := http.ParseTime(h); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	seconds := time.Duration(0)
	for _, c := range h {
		if c < '0' || c > '9' {
			return 0
		}
		seconds = min(seconds*10+time.Duration(c-'0'), maxRetryAfter/time.Second) // no number is too long
	}
	return seconds * time.Second
}

// withoutQuery returns err as it is, or without the secrets if its text repeats any: errors of the network don't, but a
// server that echoes our request is quoted in the error about its answer.
func withoutQuery(rawURL string, err error) error {
	_, query, _ := strings.Cut(rawURL, "?")
	values, _ := url.ParseQuery(query)
	secrets := []string{query, values.Get("key"), values.Get("visitor_id")}
	if text := redact(err.Error(), secrets...); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// redact replaces the secrets, as they are and as a query has them. Secrets under four letters are replaced where they
// stand as a parameter only: taking out each "a" would leave nothing to read.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if len(form) >= 4 {
				s = strings.ReplaceAll(s, form, "[…]")
			} else if form != "" {
				s = strings.ReplaceAll(s, "="+form, "=[…]")
			}
		}
	}
	return s
}
