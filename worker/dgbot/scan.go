package dgbot

import "unicode/utf8"

// scanFlat reads the frames that make up nearly all traffic, objects whose keys and values are all strings, without
// encoding/json (which took twenty times as long and 14 % of a conversation's CPU). Whatever it doesn't expect it leaves
// to parseAny by returning false, so that it never has to judge what is valid; FuzzParse holds the two together.
func scanFlat(b []byte, f *Frame, seen *memo) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	for i = space(b, i+1); ; i = space(b, i+1) {
		key, next, plain := scanString(b, i)
		if !plain {
			return false
		}
		i = space(b, next)
		if i >= len(b) || b[i] != ':' {
			return false
		}
		i = space(b, i+1)
		value, next, plain := scanString(b, i)
		if next < 0 || !f.set(key, value, b[i:next], plain, seen) {
			return false
		}
		i = space(b, next)
		switch {
		case i >= len(b):
			return false
		case b[i] == '}':
			return space(b, i+1) == len(b)
		case b[i] != ',':
			return false
		}
	}
}

// set stores one value. It is false where encoding/json has to look: escapes in a field that isn't decoded here.
func (f *Frame) set(key, value, quoted []byte, plain bool, seen *memo) bool {
	p := f.field(string(key))
	switch {
	case !plain && p != &f.Content: // p is nil for an unknown field
		return false
	case !plain:
		s, ok := decodeEscaped(quoted)
		*p = s
		return ok
	case p == &f.Type || p == &f.Status:
		*p = intern(value)
	case p == &f.MessageID:
		*p = seen.id(value)
	case p != nil:
		*p = string(value)
	}
	return true
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanString returns what stands between the quotes that begin at i and the index after the closing one, -1 if there is
// no string. It is plain if the text needs no decoding: valid UTF-8 without escapes and control characters.
func scanString(b []byte, i int) (text []byte, next int, plain bool) {
	if i >= len(b) || b[i] != '"' {
		return nil, -1, false
	}
	plain, ascii := true, true
	for j := i + 1; j < len(b); j++ {
		switch c := b[j]; {
		case c == '"':
			text = b[i+1 : j]
			return text, j + 1, plain && (ascii || utf8.Valid(text))
		case c == '\\':
			plain = false
			j++ // whatever is escaped, a quote above all, doesn't end the string
		case c < ' ':
			plain = false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, -1, false
}
