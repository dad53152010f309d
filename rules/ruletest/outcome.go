package ruletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dgworker/rules"
)

// Outcome is what this package reads of a recorded outcome. Its source is the JSON that the worker publishes (Outcome in
// package worker, described in the README); unknown fields are ignored.
type Outcome struct {
	ID           string       `json:"id"`
	Bot          string       `json:"bot"`
	VisitorID    string       `json:"visitor_id"`
	Status       string       `json:"status"`
	Reason       string       `json:"reason"`
	Prompt       PromptRecord `json:"prompt"`
	Turns        []Turn       `json:"turns"`
	Events       []Event      `json:"events"` // before the first turn, or of a conversation that had none
	RulesVersion string       `json:"rules_version"`
	Versions     []string     `json:"rules_versions"`
	StartedAt    time.Time    `json:"started_at"`
	Truncated    bool         `json:"truncated"`
}

// PromptRecord is the prompt as it was asked.
type PromptRecord struct {
	Content  string            `json:"content"`
	Messages []string          `json:"messages"`
	Data     anything          `json:"data"`
	Headers  map[string]string `json:"headers"`
}

// Turn is one visitor message and the events that followed it.
type Turn struct {
	Message   string  `json:"message"`
	Response  string  `json:"response"`
	MessageID string  `json:"message_id"`
	Events    []Event `json:"events"`
}

// Event is one event as it was put to the rules. What was decided about it is decoded only by those who ask.
type Event struct {
	N         int             `json:"n"`
	Type      rules.EventType `json:"type"`
	At        time.Time       `json:"at"`
	Tool      string          `json:"tool"`
	Status    string          `json:"status"`
	Message   string          `json:"message"`
	Content   string          `json:"content"`
	AgentName string          `json:"agent_name"`
	Raw       anything        `json:"raw"`
	Recorded  json.RawMessage `json:"decisions"`
}

// ReadOutcome decodes one outcome.
func ReadOutcome(data []byte) (*Outcome, error) {
	o := new(Outcome)
	if err := json.Unmarshal(data, o); err != nil {
		return nil, fmt.Errorf("read outcome: %w", err)
	}
	if o.ID == "" || o.Bot == "" {
		return nil, errors.New("read outcome: this is no outcome: it has no id or no bot")
	}
	o.number()
	return o, nil
}

// number gives events their ordinals where a record that was written elsewhere leaves them out.
func (o *Outcome) number() {
	n := 0
	count := func(events []Event) {
		for i := range events {
			if n++; events[i].N == 0 {
				events[i].N = n
			}
			n = events[i].N
		}
	}
	count(o.Events)
	for i := range o.Turns {
		count(o.Turns[i].Events)
	}
}

// prompt is the prompt as rules saw it.
func (o *Outcome) prompt() rules.Prompt {
	p := rules.Prompt{ID: o.ID, Bot: o.Bot, Content: o.Prompt.Content, Data: o.Prompt.Data.value, Headers: o.Prompt.Headers}
	if p.Content == "" && len(o.Prompt.Messages) > 0 {
		p.Content = o.Prompt.Messages[0]
	}
	return p
}

// script counts the messages that the prompt itself came with.
func (o *Outcome) script() int { return max(1, len(o.Prompt.Messages)) }

// event is the event as rules saw it.
func (e *Event) event() rules.Event {
	raw, _ := e.Raw.value.(map[string]any)
	return rules.Event{Type: e.Type, At: e.At, Tool: e.Tool, Status: e.Status, Message: e.Message, Content: e.Content,
		AgentName: e.AgentName, Raw: raw}
}

// response goes with a final_response: what the turn said.
func (t *Turn) response(e *Event) *rules.Response {
	if e.Type != rules.FinalResponse {
		return nil
	}
	return &rules.Response{Text: t.Response, MessageID: t.MessageID}
}

func (e *Event) decisions() ([]rules.Decision, error) {
	if len(e.Recorded) == 0 {
		return nil, nil
	}
	var ds []rules.Decision
	if err := json.Unmarshal(e.Recorded, &ds); err != nil {
		return nil, fmt.Errorf("read outcome: decisions of event %d: %w", e.N, err)
	}
	return ds, nil
}

// anything is a JSON value as the worker hands it to rules: whole numbers are int, the others float64.
type anything struct{ value any }

// asJSON decodes raw with numbers as rules see them.
func asJSON(raw []byte) (any, error) {
	var a anything
	err := json.Unmarshal(raw, &a)
	return a.value, err
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *anything) UnmarshalJSON(data []byte) error {
	if !hasNumber(data) { // most frames: no second pass is needed
		return json.Unmarshal(data, &a.value)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&a.value); err != nil {
		return err
	}
	a.value = plainNumbers(a.value)
	return nil
}

// hasNumber says whether a digit stands outside of strings.
func hasNumber(data []byte) bool {
	quoted := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && '0' <= c && c <= '9':
			return true
		}
	}
	return false
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}
