package dgbot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// The frame types that the protocol document names. A frame of another type is handed on with Known false.
const (
	StreamStart      = "stream_start"       // MessageID
	StreamChunk      = "stream_chunk"       // MessageID, Content
	StreamEnd        = "stream_end"         // MessageID
	ToolAction       = "tool_action"        // Tool, Status "calling"
	ToolActionResult = "tool_action_result" // Tool, Status "done" or "error"
	HandoffOffered   = "handoff_offered"    // Message
	AgentJoined      = "agent_joined"       // AgentName
	AgentMessage     = "agent_message"      // Content, AgentName
	AgentLeft        = "agent_left"
)

// Ping is the keep-alive frame. DGbot wants one every 25 to 30 seconds; it is JSON text, not a WebSocket control frame.
const Ping = `{"type":"ping"}`

// Why Parse refuses a frame.
var (
	ErrBadJSON = errors.New("frame is not a JSON object") // broken JSON, or JSON of another kind
	ErrNoType  = errors.New("frame has no type")          // "type" is missing, empty or not a string
)

// Frame is one message of the bot. Fields that the frame lacks, or has with another JSON type than string, are empty:
// they can still be read from Raw.
type Frame struct {
	Type      string
	MessageID string
	// Content is valid UTF-8, except that a stream_chunk may begin or end with half of a surrogate pair (three bytes of
	// WTF-8), because bots cut text between UTF-16 units. Streams joins the halves; use Clean where text leaves by
	// another way.
	Content   string
	Tool      string
	Status    string
	Message   string
	AgentName string
	Known     bool   // the protocol document names Type
	Raw       []byte // the frame's JSON text as given to Parse, not a copy; from Conn.Read, valid until the next Read
}

// Parse reads one frame. It fails with ErrBadJSON or ErrNoType (wrapped); unknown types and fields are no failure. Keys
// are matched to the letter and the last of several equal keys counts. Raw is b itself, everything else is copied.
func Parse(b []byte) (Frame, error) {
	var f Frame
	if err := parse(b, &f, nil); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// parse fills f, taking strings that repeat from frame to frame out of seen (nil: none).
func parse(b []byte, f *Frame, seen *memo) error {
	if !scanFlat(b, f, seen) {
		*f = Frame{}
		if err := parseAny(b, f); err != nil {
			return err
		}
	}
	if f.Type == "" {
		return fmt.Errorf("parse frame: %w", ErrNoType)
	}
	f.Known = known(f.Type)
	f.Raw = b
	if f.Type != StreamChunk {
		f.Content = Clean(f.Content) // the only field that may hold halves, and only Streams can join them
	}
	return nil
}

// parseAny is the way of all frames that scanFlat passes on. A map, because encoding/json matches the keys of a struct
// without regard to case, and because a field of an unexpected type must not cost the others.
func parseAny(b []byte, f *Frame) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("parse frame: %w: %w", ErrBadJSON, err)
	}
	if m == nil { // the JSON text null
		return fmt.Errorf("parse frame: %w", ErrBadJSON)
	}
	for key, value := range m {
		if p := f.field(key); p != nil {
			*p, _ = decodeEscaped(value) // not a string: empty
		}
	}
	for _, p := range []*string{&f.Type, &f.MessageID, &f.Tool, &f.Status, &f.Message, &f.AgentName} {
		*p = Clean(*p) // halves are of use in Content alone
	}
	return nil
}

func (f *Frame) field(key string) *string {
	switch key {
	case "type":
		return &f.Type
	case "message_id":
		return &f.MessageID
	case "content":
		return &f.Content
	case "tool":
		return &f.Tool
	case "status":
		return &f.Status
	case "message":
		return &f.Message
	case "agent_name":
		return &f.AgentName
	}
	return nil
}

func known(t string) bool {
	switch t {
	case StreamStart, StreamChunk, StreamEnd, ToolAction, ToolActionResult,
		HandoffOffered, AgentJoined, AgentMessage, AgentLeft:
		return true
	}
	return false
}

// AppendMessage appends the frame of a visitor's message to dst. Bytes of content that are not UTF-8 become U+FFFD.
func AppendMessage(dst []byte, content string) []byte {
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false) // "<" is no danger here, and people read these frames
	if err := enc.Encode(content); err != nil {
		panic("dgbot: a string that encoding/json can't encode: " + err.Error()) // encoding a string never fails
	}
	dst = append(dst, `{"type":"message","content":`...)
	dst = append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
	return append(dst, '}')
}
