package worker

import (
	"encoding/json"
	"time"

	"dgworker/rules"
)

// Status is how a prompt ended.
type Status string

// The statuses. The last three are copied to the dead letters.
const (
	Completed   Status = "completed"
	Handoff     Status = "handoff"     // a person was offered, and the conversation was left to them
	Failed      Status = "failed"      // see Outcome.Reason
	Interrupted Status = "interrupted" // cut off after something was shown, and nothing more came
	Rejected    Status = "rejected"    // the prompt itself was not valid
)

// Dead says whether a prompt that ended so becomes a dead letter.
func (s Status) Dead() bool { return s == Failed || s == Interrupted || s == Rejected }

// Outcome is the final record of a prompt: all that rules could read of the conversation, and all that they did. Times
// are RFC 3339 with milliseconds, in UTC.
type Outcome struct {
	ID           string       `json:"id"`
	Bot          string       `json:"bot"`
	VisitorID    string       `json:"visitor_id,omitempty"`
	Status       Status       `json:"status"`
	Reason       string       `json:"reason,omitempty"`
	Response     string       `json:"response"` // text of the last final response
	Prompt       PromptRecord `json:"prompt"`
	Greeting     []Stream     `json:"greeting,omitempty"` // what the bot said before our first message
	Turns        []Turn       `json:"turns"`
	Events       []rules.Seen `json:"events,omitempty"` // those of a conversation that had no turn
	Tools        Tools        `json:"tools"`            // tool -> its last status
	Fired        []Fired      `json:"fired"`
	Suppressed   []Suppressed `json:"suppressed"`
	Errors       []RuleError  `json:"errors"`
	Shadow       []Fired      `json:"shadow"`
	Attempts     int          `json:"attempts"`
	History      []Failure    `json:"history,omitempty"` // the attempts that failed
	RetryOf      string       `json:"retry_of,omitempty"`
	RulesVersion string       `json:"rules_version"`
	Versions     []string     `json:"rules_versions,omitempty"` // all of them, where a crash brought in another
	Worker       string       `json:"worker"`
	Writer       string       `json:"writer"`
	StartedAt    Time         `json:"started_at"`
	EndedAt      Time         `json:"ended_at"`
	Truncated    bool         `json:"truncated"`
}

// Tools maps a tool's name to its last status.
type Tools map[string]string

// PromptRecord is the prompt as it was asked.
type PromptRecord struct {
	Content   string            `json:"content"`
	Messages  []string          `json:"messages,omitempty"`
	Data      any               `json:"data,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Lane      string            `json:"lane,omitempty"`
	VisitorID string            `json:"visitor_id,omitempty"` // that the prompt named, itself or by its lane
	Payload   string            `json:"payload,omitempty"`    // of a rejected prompt: what came, at most 64 KiB of it
}

// UnmarshalJSON reads the prompt's data as ParsePrompt does: what runs an outcome's prompt again, or puts it to other rules,
// must find the same whole numbers.
func (r *PromptRecord) UnmarshalJSON(b []byte) error {
	type plain PromptRecord
	read := struct {
		*plain
		Data json.RawMessage `json:"data"` // outranks the embedded one
	}{plain: (*plain)(r)}
	err := json.Unmarshal(b, &read)
	if err == nil && len(read.Data) > 0 {
		r.Data, err = decodeNumbers(read.Data)
	}
	return err
}

// Turn is one visitor message and all that the bot did until it settled.
type Turn struct {
	Message   string       `json:"message"`
	Response  string       `json:"response"` // text of the turn's last stream
	MessageID string       `json:"message_id,omitempty"`
	Interim   []Stream     `json:"interim,omitempty"` // the streams before it, "Let me look that up…"
	Tools     Tools        `json:"tools"`
	Events    []rules.Seen `json:"events"`
	Settled   bool         `json:"settled"`

	said bool // a stream has ended
}

// Fired is one action of a rule that fired, or would have in shadow mode.
type Fired struct {
	Rule     string          `json:"rule"`
	Action   rules.Kind      `json:"action"`
	Endpoint string          `json:"endpoint,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	ID       string          `json:"id"`
	Event    rules.EventType `json:"event"`
	N        int             `json:"n"` // the event's ordinal
}

// Suppressed is a rule whose `when` held and that did not act.
type Suppressed struct {
	Rule   string          `json:"rule"`
	Why    rules.Result    `json:"why"` // once, cooldown or max_turns
	Until  Time            `json:"until,omitzero"`
	Reason string          `json:"reason,omitempty"`
	Event  rules.EventType `json:"event"`
	N      int             `json:"n"`
}

// RuleError is a rule that failed.
type RuleError struct {
	Rule   string          `json:"rule"`
	Reason string          `json:"reason"`
	Event  rules.EventType `json:"event"`
	N      int             `json:"n"`
}

// Time is how an outcome writes a time.
type Time = rules.Time

// now returns the present as it is recorded: UTC, in milliseconds, so that what is journaled reads back equal.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
