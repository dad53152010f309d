package dgbotsim

import "time"

// Script is what a simulated bot does. The zero value refuses nobody and answers nothing.
type Script struct {
	Speed       float64       `yaml:"speed"`         // divides all delays and waits. Defaults to 1.
	Delay       time.Duration `yaml:"delay"`         // between chunks of a stream that names none
	Greeting    []Step        `yaml:"greeting"`      // played on a visitor's first connection, before any message
	OnReconnect string        `yaml:"on_reconnect"`  // Forget (default) or Resume: what becomes of an answer that was cut off
	ResumeFor   time.Duration `yaml:"resume_within"` // how long Resume waits for the visitor. Defaults to 1 m, not divided by Speed.
	Refuse      []Refusal     `yaml:"refuse"`        // the first that matches refuses the connection
	Replies     []Reply       `yaml:"replies"`       // the first that matches is played; none: no answer
}

// What becomes of the rest of an answer when its connection goes.
const (
	Forget = "forget" // nobody hears of it again
	Resume = "resume" // it is sent on the visitor's next connection, from the first frame that was not written
)

// Refusal answers a handshake with a status instead of a connection.
type Refusal struct {
	Key        string        `yaml:"key"`         // regular expression on the key; "" matches all
	Visitor    string        `yaml:"visitor"`     // regular expression on the visitor_id; "" matches all
	Status     int           `yaml:"status"`      // 300 to 599
	RetryAfter time.Duration `yaml:"retry_after"` // whole seconds; 0: no such header
	Times      int           `yaml:"times"`       // only the first so many; 0: always
}

// Reply is what the bot does about a message.
type Reply struct {
	Name    string `yaml:"name"`    // for After
	Match   string `yaml:"match"`   // regular expression on the message; "" matches all
	Key     string `yaml:"key"`     // regular expression on the key; "" matches all
	Visitor string `yaml:"visitor"` // regular expression on the visitor_id; "" matches all
	After   string `yaml:"after"`   // only if the visitor's last reply was the one with this Name
	Times   int    `yaml:"times"`   // only the first so many over all visitors; 0: always
	Steps   []Step `yaml:"steps"`
}

// Step is one thing that the bot does: exactly one field is set. In texts, $1 and ${name} stand for what the groups of
// the reply's Match caught, $$ for a dollar sign; a $ before anything else is itself.
type Step struct {
	Stream       *Stream       // a whole stream
	Start        *string       // stream_start of this message id, for streams that interleave
	Chunk        *Chunk        // stream_chunk
	End          *string       // stream_end of this message id
	Tool         *Tool         // tool_action and, after a while, tool_action_result
	Handoff      *string       // handoff_offered with this message
	AgentJoined  *string       // agent_joined with this name
	AgentMessage *AgentMessage // agent_message
	AgentLeft    bool          // agent_left
	Wait         time.Duration // nothing for a while
	Drop         string        // DropRST or DropFIN: the socket goes without a close frame
	Close        *Close        // a close frame, then the socket
	Silence      bool          // nothing ever again on this connection
	Garbage      string        // one of the Garbage constants
	Raw          string        // a text frame as it is written here
}

// Stream is stream_start, chunks and stream_end. In YAML a plain string is its Text.
type Stream struct {
	Text   string        `yaml:"text"`   // cut into words, or …
	Chunks []string      `yaml:"chunks"` // … cut by hand
	Delay  time.Duration `yaml:"delay"`  // before each chunk. Defaults to the script's.
	ID     string        `yaml:"id"`     // defaults to a new message id
}

// Chunk is one stream_chunk.
type Chunk struct {
	ID   string `yaml:"id"`
	Text string `yaml:"text"`
}

// Tool is a tool call. In YAML a plain string is its Name.
type Tool struct {
	Name   string        `yaml:"name"`
	Status string        `yaml:"status"` // "done" (default) or "error"
	Takes  time.Duration `yaml:"takes"`  // between call and result
}

// AgentMessage is what a person writes.
type AgentMessage struct {
	Name    string `yaml:"name"`
	Content string `yaml:"content"`
}

// Close is a close frame. In YAML a plain number is its Code.
type Close struct {
	Code   int    `yaml:"code"` // 1000 to 1014 but 1004 to 1006, or 3000 to 4999
	Reason string `yaml:"reason"`
}

// How a socket goes without a close frame.
const (
	DropRST = "rst" // reset: what was not read yet is lost
	DropFIN = "fin" // ended: what was written arrives
)

// What a client has to put up with.
const (
	GarbageText        = "text"         // a text frame that is no JSON
	GarbageBinary      = "binary"       // a binary frame
	GarbageBadJSON     = "bad_json"     // a frame that breaks off
	GarbageUnknownType = "unknown_type" // a type that the document doesn't have
	GarbageFragments   = "fragments"    // a proper stream, each frame in fragments of a few bytes, a control ping between
)
