package dgbot

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeEscaped decodes one quoted JSON string; other JSON values are not ok. encoding/json does it, except for halves of surrogate pairs at either
// end of the text: those would become U+FFFD each, and a character cut in two by a chunk's border would be lost.
func decodeEscaped(quoted []byte) (string, bool) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return "", false
	}
	body := quoted[1 : len(quoted)-1]
	var low, high []byte
	if r, ok := escapedHalf(body); ok && r >= 0xDC00 {
		low, body = appendHalf(nil, r), body[6:]
	}
	if n := len(body) - 6; n >= 0 && !escaped(body, n) {
		if r, ok := escapedHalf(body[n:]); ok && r < 0xDC00 {
			high, body = appendHalf(nil, r), body[:n]
		}
	}
	var s string
	if len(body)+2 != len(quoted) {
		quoted = append(append([]byte{'"'}, body...), '"')
	}
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", false
	}
	if low == nil && high == nil {
		return s, true
	}
	return string(low) + s + string(high), true
}

// escapedHalf reads an escape such as \ud83d at the beginning of b, if it stands for half of a surrogate pair.
func escapedHalf(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil && utf16.IsSurrogate(rune(n))
}

// escaped reports whether the byte at n is the second of an escape, so that a backslash there begins none.
func escaped(b []byte, n int) bool {
	run := 0
	for n > run && b[n-run-1] == '\\' {
		run++
	}
	return run%2 == 1
}

// appendHalf appends half of a surrogate pair as WTF-8: the three bytes that UTF-8 would have for it if it were allowed.
func appendHalf(dst []byte, r rune) []byte {
	return append(dst, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
}

// highTail reports whether b ends with the first half of a surrogate pair, lowHead whether s begins with the second.
func highTail(b []byte) bool {
	n := len(b) - 3
	return n >= 0 && b[n] == 0xED && b[n+1] >= 0xA0 && b[n+1] < 0xB0
}

func lowHead(s string) bool {
	return len(s) >= 3 && s[0] == 0xED && s[1] >= 0xB0 && s[1] < 0xC0
}

// joinHalves returns the character whose halves end b and begin s.
func joinHalves(b []byte, s string) rune {
	unit := func(x, y byte) rune { return 0xD000 | rune(x&0x3F)<<6 | rune(y&0x3F) }
	n := len(b)
	return utf16.DecodeRune(unit(b[n-2], b[n-1]), unit(s[1], s[2]))
}

// Clean returns s with each half of a surrogate pair and each byte that is not UTF-8 replaced by U+FFFD.
func Clean(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(clean([]byte(s)))
}

func clean(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 && half(b) {
			n = 3
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return out
}

func half(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xED && b[1] >= 0xA0 && b[1] < 0xC0 && b[2]&0xC0 == 0x80
}
