package dgbot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func chunk(t testing.TB, id, escapedContent string) Frame {
	t.Helper()
	f, err := Parse(fmt.Appendf(nil, `{"type":"stream_chunk","message_id":%q,"content":"%s"}`, id, escapedContent))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStreamsJoin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		chunks []string // as JSON has them
		want   string
	}{
		{"document's example", []string{"Standard", " shipping", " takes 5–7", " business days."}, "Standard shipping takes 5–7 business days."},
		{"nothing", nil, ""},
		{"halves", []string{`a\ud83d`, `\ude00b`}, "a😀b"},
		{"halves with nothing between", []string{`\uD83D`, ``, `\uDE00`}, "😀"},
		{"several", []string{`\ud83d`, `\ude00\ud83d`, `\ude01`}, "😀😁"},
		{"high never joined", []string{`a\ud83d`, `b`}, "a\uFFFDb"},
		{"high at the end", []string{`a\ud83d`}, "a\uFFFD"},
		{"low never joined", []string{`\ude00b`}, "\uFFFDb"},
		{"high, high, low", []string{`\ud83d`, `\ud83d`, `\ude00`}, "\uFFFD😀"},
		{"text that looks like a half", []string{`\\ud83d`, `\ude00`}, `\ud83d` + "\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s Streams
			s.Start("m")
			for _, c := range tt.chunks {
				s.Chunk(chunk(t, "m", c))
			}
			if got, ok := s.End("m"); got != tt.want || !ok || s.Open() != 0 || s.Truncated() {
				t.Errorf("got %q, %v; want %q (open %d, truncated %v)", got, ok, tt.want, s.Open(), s.Truncated())
			}
		})
	}
}

func TestStreamsApart(t *testing.T) {
	t.Parallel()
	var s Streams
	s.Start("a")
	s.Chunk(chunk(t, "b", `b\ud83d`)) // no start, and halves of two streams don't meet
	s.Chunk(chunk(t, "a", `\ude00a`))
	s.Chunk(chunk(t, "", "nameless"))
	s.Start("a") // again: nothing is lost
	s.Chunk(chunk(t, "b", `\ude00`))
	if s.Open() != 3 {
		t.Errorf("%d open, want 3", s.Open())
	}
	for id, want := range map[string]string{"a": "\uFFFDa", "b": "b😀", "": "nameless"} {
		if got, ok := s.End(id); got != want || !ok {
			t.Errorf("End(%q) = %q, %v; want %q", id, got, ok, want)
		}
	}
	if got, ok := s.End("never"); got != "" || ok {
		t.Errorf("End of an unknown stream = %q, %v", got, ok)
	}
}

func TestStreamsLimit(t *testing.T) {
	t.Parallel()
	s := Streams{Limit: 7}
	s.Chunk(chunk(t, "a", "ab"))
	s.Chunk(chunk(t, "b", "äöü")) // five bytes are left: "äö"
	s.Chunk(chunk(t, "b", "x"))   // would fit, but after a cut nothing joins on
	if got, _ := s.End("b"); got != "äö" || !s.Truncated() {
		t.Errorf("got %q, truncated %v", got, s.Truncated())
	}
	s.Chunk(chunk(t, "c", `xyz\ud83d\ude00`)) // the limit is for what is open: five bytes, no part of the face
	if got, _ := s.End("c"); got != "xyz" {
		t.Errorf("got %q", got)
	}
	if got, _ := s.End("a"); got != "ab" || s.held != 0 {
		t.Errorf("got %q, %d bytes held", got, s.held)
	}
	s = Streams{MaxOpen: 2}
	for _, id := range []string{"a", "b", "c"} {
		s.Start(id)
		s.Chunk(chunk(t, id, id))
	}
	if _, ok := s.End("c"); ok || s.Open() != 2 || !s.Truncated() {
		t.Errorf("third stream open: %v, %d open, truncated %v", ok, s.Open(), s.Truncated())
	}
}

func TestStreamsCutInTheMiddleOfAPair(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]string{1: "a", 2: "a", 3: "a", 4: "a", 5: "a😀", 6: "a😀b"} {
		s := Streams{Limit: limit}
		s.Chunk(chunk(t, "m", `a\ud83d`))
		s.Chunk(chunk(t, "m", `\ude00b`))
		if got, _ := s.End("m"); got != want {
			t.Errorf("limit %d: got %q, want %q", limit, got, want)
		}
	}
}

// FuzzStreams cuts a text between any two UTF-16 units, as a JavaScript bot would, into frames of two streams that
// interleave, and wants both whole.
func FuzzStreams(f *testing.F) {
	f.Add("a😀b", "\U0010FFFF", uint64(0b1010101))
	f.Add("\\ud83d\"", "é\u2028\x00", uint64(0xFFFF))
	f.Fuzz(func(t *testing.T, a, b string, cuts uint64) {
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")
		parts := map[string][]string{"a": split(a, cuts), "b": split(b, cuts>>7)}
		s := Streams{Limit: 1 << 20}
		for len(parts["a"])+len(parts["b"]) > 0 {
			for _, id := range []string{"a", "b"} {
				if len(parts[id]) > 0 {
					s.Chunk(chunk(t, id, parts[id][0]))
					parts[id] = parts[id][1:]
				}
			}
		}
		for id, want := range map[string]string{"a": a, "b": b} {
			if got, _ := s.End(id); got != want {
				t.Fatalf("stream %s\n got %q\nwant %q", id, got, want)
			}
		}
	})
}

// split escapes the UTF-16 units of s and cuts after those whose bit in cuts is set.
func split(s string, cuts uint64) []string {
	var out []string
	var part bytes.Buffer
	for i, u := range utf16.Encode([]rune(s)) {
		if u < utf8.RuneSelf && u >= ' ' && u != '"' && u != '\\' {
			part.WriteByte(byte(u))
		} else {
			fmt.Fprintf(&part, `\u%04x`, u)
		}
		if cuts>>(i%64)&1 == 1 {
			out = append(out, part.String())
			part.Reset()
		}
	}
	return append(out, part.String())
}

func FuzzStreamsLimit(f *testing.F) {
	f.Add("a😀b", `\ud83d`, 3)
	f.Fuzz(func(t *testing.T, a, b string, limit int) {
		limit = 1 + limit&63
		s := Streams{Limit: limit}
		for _, text := range []string{a, b, a} {
			quoted, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Chunk(chunk(t, "m", string(quoted[1:len(quoted)-1])))
			if s.held > limit {
				t.Fatalf("%d bytes held, the limit is %d", s.held, limit)
			}
		}
		if got, _ := s.End("m"); !utf8.ValidString(got) || len(got) > limit || s.held != 0 {
			t.Fatalf("got %q, %d bytes held, limit %d", got, s.held, limit)
		}
	})
}
