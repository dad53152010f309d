package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Trigger is one entry of `triggers`, compiled: it makes a prompt of an event on NATS, or of the time. Exactly one of
// Subject, Every and Cron is set. It is immutable.
type Trigger struct {
	Name        string
	Description string
	Subject     string        // of the events, wildcards and all
	Every       time.Duration // at least a second
	Cron        string        // as the file has it: five fields, or one of @hourly, @daily, @weekly, @monthly, @yearly
	Timezone    string        // of Cron: an IANA name; defaults to UTC
	Start       time.Time     // events since then, where StartAll is false; zero (default) is from the trigger's first day on
	StartAll    bool          // all that the stream still has
	When        string        // source of the condition; "" holds always
	Bot         string        // that the prompt is for
	File        string        // where it stands
	Line        int

	schedule   string // Cron as NATS has it
	when       *expression
	id         *template // nil: the prompt's id is made out of the event's
	visitor    *template // nil: the prompt names none
	messages   []*template
	data       body // nil is none
	maxContent int
}

// TriggerPrompt is what a trigger makes of an event: nothing in it is a template any more.
type TriggerPrompt struct {
	ID        string          // "" where the trigger has no `id`
	VisitorID string          // "" where it has no `visitor_id`
	Messages  []string        // what the visitor says, at least one
	Data      json.RawMessage // nil where it has no `data`
}

// maxPromptID bounds ids and visitor ids, as the worker does.
const maxPromptID = 256

// Scheduled says whether the trigger goes by the clock.
func (t *Trigger) Scheduled() bool { return t.Subject == "" }

// NamesVisitor says whether every prompt of the trigger is for a visitor that it names.
func (t *Trigger) NamesVisitor() bool { return t.visitor != nil }

// Schedule returns when a scheduled trigger is due, as a message schedule of NATS has it: `@every 15m0s`, or six fields,
// the first for seconds.
func (t *Trigger) Schedule() string {
	if t.Every > 0 {
		return "@every " + t.Every.String()
	}
	return t.schedule
}

// Render makes the prompt of ev. It reports false where `when` is false. The error says which key failed and why; the
// same event fails again.
func (t *Trigger) Render(ev TriggerEvent) (p TriggerPrompt, held bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the trigger failed: %v", r)
		}
	}()
	e := beginTrigger(ev)
	defer e.end()
	if held, err = e.holds(t.when); err != nil {
		return p, false, fmt.Errorf("when: %w", err)
	}
	if !held {
		return p, false, nil
	}
	p, err = t.render(&e)
	return p, err == nil, err
}

func (t *Trigger) render(e *evaluation) (p TriggerPrompt, err error) {
	if p.ID, err = renderPlain(t.id, e, maxPromptID); err != nil {
		return p, fmt.Errorf("id: %w", err)
	}
	if p.VisitorID, err = renderPlain(t.visitor, e, maxPromptID); err != nil {
		return p, fmt.Errorf("visitor_id: %w", err)
	}
	for i, m := range t.messages {
		text, err := m.render(e, freeText, t.maxContent)
		if err == nil && strings.TrimSpace(text) == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			return p, fmt.Errorf("message %d: %w", i+1, err)
		}
		p.Messages = append(p.Messages, text)
	}
	if t.data == nil {
		return p, nil
	}
	var w bytes.Buffer
	if err := t.data.write(e, &w); err != nil {
		return p, fmt.Errorf("data: %w", err)
	}
	p.Data = w.Bytes()
	return p, nil
}

// renderPlain renders a text that can't be empty; nil is a key that the trigger doesn't have.
func renderPlain(t *template, e *evaluation, limit int) (string, error) {
	if t == nil {
		return "", nil
	}
	s, err := t.render(e, toText, limit)
	if err == nil && s == "" {
		err = errors.New("it is empty")
	}
	return s, err
}
