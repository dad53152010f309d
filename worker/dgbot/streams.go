package dgbot

import "unicode/utf8"

// Defaults of Streams.
const (
	DefaultStreamBytes = 512 << 10 // bytes of text kept over all open streams
	DefaultOpenStreams = 1024      // streams open at once
)

// Streams assembles the texts of streams, several of which may be open at once. The zero value is ready for use. It is
// for one goroutine.
//
// A chunk or an end with no start before it is taken as if the stream had started. A missing message_id is an id of its
// own: "". Halves of a surrogate pair that meet at a chunk's border give their character; a half that never meets its
// other becomes U+FFFD at the end.
type Streams struct {
	Limit   int // bytes of text kept over all streams open at once; 0 is DefaultStreamBytes
	MaxOpen int // streams open at once; 0 is DefaultOpenStreams

	open      map[string]*stream
	held      int // bytes
	truncated bool
}

type stream struct {
	text []byte // WTF-8
	full bool   // text was cut: what follows would not join on to it
}

// Start opens the stream id. A second start of an open stream changes nothing.
func (s *Streams) Start(id string) { s.get(id) }

// Chunk adds f's Content to the stream of its MessageID. Beyond the limit, text is cut at the border of a character.
func (s *Streams) Chunk(f Frame) {
	st := s.get(f.MessageID)
	if st == nil || st.full {
		return
	}
	text, before := f.Content, len(st.text)
	if lowHead(text) && highTail(st.text) {
		r := joinHalves(st.text, text)
		st.text = utf8.AppendRune(st.text[:before-3], r)
		text = text[3:]
	}
	st.text = append(st.text, text...)
	s.held += len(st.text) - before
	if over := s.held - orDefault(s.Limit, DefaultStreamBytes); over > 0 {
		s.cut(st, over)
	}
}

// End closes the stream id and returns its whole text. ok is false if nothing had been heard of it: such an end is that
// of an empty stream.
func (s *Streams) End(id string) (text string, ok bool) {
	st, ok := s.open[id]
	if !ok {
		return "", false
	}
	delete(s.open, id)
	s.held -= len(st.text)
	return string(clean(st.text)), true
}

// Open returns how many streams have begun and not ended.
func (s *Streams) Open() int { return len(s.open) }

// Truncated reports whether text was ever dropped because of a limit.
func (s *Streams) Truncated() bool { return s.truncated }

func (s *Streams) get(id string) *stream {
	if st, ok := s.open[id]; ok {
		return st
	}
	if len(s.open) >= orDefault(s.MaxOpen, DefaultOpenStreams) {
		s.truncated = true
		return nil
	}
	if s.open == nil {
		s.open = make(map[string]*stream)
	}
	st := new(stream)
	s.open[id] = st
	return st
}

// cut drops the last n bytes of st and what of a character is left before them. It never parts a pair: halves that meet
// have been joined by then.
func (s *Streams) cut(st *stream, n int) {
	was, keep := len(st.text), max(0, len(st.text)-n)
	for keep > 0 && keep < was && !utf8.RuneStart(st.text[keep]) {
		keep--
	}
	st.text, st.full, s.truncated = st.text[:keep], true, true
	s.held -= was - keep
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
