package dgbotsim

import (
	"bytes"
	"encoding/json"
)

// incoming is what a visitor's client may send: a message or a ping.
type incoming struct {
	Type    string  `json:"type"`
	Content *string `json:"content"`
}

// object writes a frame as the protocol document shows them: one flat object, type first. pairs are keys and values.
func object(pairs ...string) []byte {
	b := []byte{'{'}
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, pairs[i])
		b = append(b, ':')
		b = appendQuoted(b, pairs[i+1])
	}
	return append(b, '}')
}

func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(b, quote(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// quote leaves < and > as they are: people read these frames.
func quote(s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("dgbotsim: a string that encoding/json can't encode: " + err.Error()) // encoding a string never fails
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// words cuts a text before its spaces, so that the chunks joined are the text: "Standard", " shipping", " takes".
func words(text string) []string {
	var out []string
	start := 0
	for i := 1; i < len(text); i++ {
		if text[i] == ' ' && text[i-1] != ' ' {
			out, start = append(out, text[start:i]), i
		}
	}
	return append(out, text[start:])
}
