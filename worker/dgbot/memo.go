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

// intern returns b as a string, without a copy if it is a type or a status that the protocol document names.
func intern(b []byte) string {
	switch string(b) {
	case StreamStart:
		return StreamStart
	case StreamChunk:
		return StreamChunk
	case StreamEnd:
		return StreamEnd
	case ToolAction:
		return ToolAction
	case ToolActionResult:
		return ToolActionResult
	case HandoffOffered:
		return HandoffOffered
	case AgentMessage:
		return AgentMessage
	case "calling":
		return "calling"
	case "done":
		return "done"
	case "error":
		return "error"
	}
	return string(b)
}
