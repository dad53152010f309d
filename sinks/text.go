package sinks

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ValidID says whether id can be a delivery's: [A-Za-z0-9_-]{1,64}. A dot would make the signed text of a webhook
// ambiguous, and anything else has no place in a header or a subject.
func ValidID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return 1 <= len(id) && len(id) <= 64
}

// Clean makes a destination's text safe to store, log and print on a terminal: white space of any kind becomes a space,
// control and format characters (escape sequences, direction marks) and invalid UTF-8 become U+FFFD, and the
// result has at most limit bytes, cut between characters.
func Clean(text string, limit int) string {
	if len(text) <= limit && printable(text) {
		return text
	}
	var b strings.Builder
	b.Grow(min(len(text), limit))
	for _, r := range text { // an invalid byte ranges as U+FFFD
		r = plain(r)
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// printable is the common case that needs no copy: a response of plain ASCII.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func plain(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return utf8.RuneError
}
