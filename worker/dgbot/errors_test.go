package dgbot

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"": 0, "0": 0, " 7 ": 7 * time.Second, "86400": 24 * time.Hour, "86401": 24 * time.Hour,
		"99999999999999999999999999": 24 * time.Hour,
		"-5":                         0, "1.5": 0, "soon": 0, "1h": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.AddDate(5, 0, 0).Format(http.TimeFormat):      24 * time.Hour,
	}
	for in, want := range tests {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestRefusedTemporary(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{
		200: false, 302: false, 400: false, 401: false, 403: false, 404: false,
		408: true, 429: true, 500: true, 502: true, 503: true, 504: true,
	} {
		if got := (&RefusedError{Status: status}).Temporary(); got != want {
			t.Errorf("Temporary of %d is %v", status, got)
		}
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(Config{URL: "https://u:p@host/ws?key=SECRET", ConnectTimeout: -1, PingEvery: -1, WriteTimeout: -1, MaxFrame: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"scheme", "key is empty", "connect timeout", "ping interval", "write timeout", "frame limit"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
}

func TestNewHidesTheQuery(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"wss://host/ws?token=SECRET%zz", "wss://ho st/?token=SECRET", "wss://host:port/?token=SECRET", "://?token=SECRET",
		"http://host/?token=SECRET", "ws:///?token=SECRET", "ws://host/?token=SECRET#x", "ws://u:SECRET@host/", "ws://host/?token=SECRET;x",
		"ws://host/\x7f?token=SECRET",
	} {
		_, err := New(Config{URL: url, Key: "k"})
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("New(%q): %v", url, err)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	got := redact("GET /ws?key=a%2Fb+c&visitor_id=v /a/b c/ v", "a/b c", "v")
	if want := "GET /ws?key=[…]&visitor_id=[…] /[…]/ v"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cause := errors.New("dial tcp: refused")
	if got := withoutQuery("ws://h/ws?key=k&visitor_id=v", cause); got != cause {
		t.Errorf("an error without secrets was changed: %v", got)
	}
}
