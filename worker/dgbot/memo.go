package dgbot

// memo spares a connection the copy of a message id that is the same in each frame of a stream.
type memo struct{ last string }

func (m *memo) id(b []byte) string {
	if m == nil {
		return string(b)
	}
	if m.last != string(b) { // the comparison doesn't allocate
		m.last = string(b)
	}
	return m.last
}

// words are the types and statuses that the protocol document names: they are never copied out of a frame.
var words = map[string]string{
	StreamStart: StreamStart, StreamChunk: StreamChunk, StreamEnd: StreamEnd,
	ToolAction: ToolAction, ToolActionResult: ToolActionResult, HandoffOffered: HandoffOffered,
	AgentJoined: AgentJoined, AgentMessage: AgentMessage, AgentLeft: AgentLeft,
	"calling": "calling", "done": "done", "error": "error",
}

func internBytes(b []byte) string {
	if w, ok := words[string(b)]; ok { // the look-up doesn't allocate
		return w
	}
	return string(b)
}

func intern(s string) string {
	if w, ok := words[s]; ok {
		return w
	}
	return s
}
