package rules

import "time"

// EventType names a kind of event. The strings are the ones that rule authors write under `on`.
type EventType string

// The event types. The first six come from DGbot as they are (source: DGbot's WebSocket protocol document); the others
// are made by the worker out of what it saw.
const (
	ToolAction        EventType = "tool_action"        // the bot is calling a tool
	ToolActionResult  EventType = "tool_action_result" // the tool returned: status "done" or "error"
	HandoffOffered    EventType = "handoff_offered"    // the bot offers a human
	AgentJoined       EventType = "agent_joined"       // a human joined
	AgentMessage      EventType = "agent_message"      // the human wrote something
	AgentLeft         EventType = "agent_left"         // the human left
	FinalResponse     EventType = "final_response"     // the turn has settled: the last stream's text is its response
	ConversationEnded EventType = "conversation_ended" // just before the outcome; no reply is possible from here
	Unknown           EventType = "unknown"            // a frame of a type that DGbot doesn't document
)

// Facts is all that a rule's expressions and templates can see of one event. The `expr` tags are the names that rule
// authors use; the set is closed: an expression that names anything else is refused when the file is loaded.
type Facts struct {
	Event        Event        `expr:"event" json:"event"`
	Response     Response     `expr:"response" json:"response"`
	Turn         Turn         `expr:"turn" json:"turn"`
	Conversation Conversation `expr:"conversation" json:"conversation"`
	Prompt       Prompt       `expr:"prompt" json:"prompt"`
}

// Event is a fact of the conversation. Which fields are filled depends on Type; the checker refuses an expression that
// reads a field which no type in its rule's `on` has.
type Event struct {
	Type      EventType      `expr:"type" json:"type"`
	At        time.Time      `expr:"at" json:"at"`                           // when the worker saw it
	Tool      string         `expr:"tool" json:"tool,omitempty"`             // tool_action, tool_action_result
	Status    string         `expr:"status" json:"status,omitempty"`         // tool_action, tool_action_result
	Message   string         `expr:"message" json:"message,omitempty"`       // handoff_offered
	Content   string         `expr:"content" json:"content,omitempty"`       // agent_message
	AgentName string         `expr:"agent_name" json:"agent_name,omitempty"` // agent_joined, agent_message
	Raw       map[string]any `expr:"raw" json:"raw,omitempty"`               // the frame as DGbot sent it
}

// Response is the final response of the turn so far settled last: the text of its last stream. It is empty until a turn
// of the conversation has settled.
type Response struct {
	Text      string `expr:"text" json:"text"`
	MessageID string `expr:"message_id" json:"message_id,omitempty"`
}

// Turn is the turn that the event belongs to.
type Turn struct {
	Index   int               `expr:"index" json:"index"`     // 0 is the first
	Message string            `expr:"message" json:"message"` // what the visitor said
	Tools   map[string]string `expr:"tools" json:"tools"`     // tool name -> its last status in this turn
}

// Conversation is the visitor session up to and with the event.
type Conversation struct {
	VisitorID string            `expr:"visitor_id" json:"visitor_id"`
	Bot       string            `expr:"bot" json:"bot"`
	Status    string            `expr:"status" json:"status"` // "open" until conversation_ended, then the outcome's status
	Turns     int               `expr:"turns" json:"turns"`   // turns begun so far
	Tools     map[string]string `expr:"tools" json:"tools"`   // tool name -> its last status in the conversation
	HandedOff bool              `expr:"handed_off" json:"handed_off"`
}

// Prompt is the job that the conversation is held for.
type Prompt struct {
	ID      string            `expr:"id" json:"id"`
	Bot     string            `expr:"bot" json:"bot"`
	Content string            `expr:"content" json:"content"` // the first message
	Data    any               `expr:"data" json:"data,omitempty"`
	Headers map[string]string `expr:"headers" json:"headers,omitempty"` // of the NATS message, first value each
}
