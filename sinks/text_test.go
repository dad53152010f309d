package sinks_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dgworker/sinks"
)

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W": true, "A-9_": true, strings.Repeat("x", 64): true,
		"": false, "a.b": false, strings.Repeat("x", 65): false, "a b": false, "a\n": false, "é": false, "a/b": false,
	} {
		if got := sinks.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":               "plain",
		"two\r\nlines\there":  "two  lines here",
		"\x1b[31mred":         "\ufffd[31mred",
		"nul\x00 del\x7f":     "nul\ufffd del\ufffd",
		"bad \xff\xfe utf8":   "bad \ufffd\ufffd utf8",
		"rtl \u202e override": "rtl \ufffd override",
		"sep\u2028arator":     "sep arator",
		"Grüße, 世界":           "Grüße, 世界",
	} {
		if got := sinks.Clean(text, 100); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever comes in, what comes out is short, valid and on one line.
func TestCleanAlwaysSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		got := sinks.Clean(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b\x7f") {
			t.Fatalf("Clean gave %q under a limit of %d", got, limit)
		}
	})
}
