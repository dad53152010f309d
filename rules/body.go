package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"time"
)

// body is what a rule says under `body`: one of literalJSON, jsonTemplate, jsonList, jsonMap and textBody. Keys keep the order
// of the file, so the same facts give the same bytes.
type body interface {
	write(e *evaluation, w *bytes.Buffer) error
}

// literalJSON is a value without placeholders, encoded when the file was read.
type literalJSON []byte

func (b literalJSON) write(e *evaluation, w *bytes.Buffer) error {
	w.Write(b)
	return e.tooLarge(w)
}

// jsonTemplate is a string with placeholders: a whole one keeps its type.
type jsonTemplate struct{ *template }

func (b jsonTemplate) write(e *evaluation, w *bytes.Buffer) error {
	var value any
	var err error
	if x, ok := b.whole(); ok {
		value, err = e.run(x)
	} else {
		value, err = b.render(e, freeText, e.limits.body)
	}
	if err != nil {
		return err
	}
	raw, err := toJSON(value)
	if err != nil {
		return fmt.Errorf("%s: %w", clip(b.source, 100), err)
	}
	w.Write(raw)
	return e.tooLarge(w)
}

type jsonList []body

func (b jsonList) write(e *evaluation, w *bytes.Buffer) error {
	w.WriteByte('[')
	for i, x := range b {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := x.write(e, w); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	w.WriteByte(']')
	return nil
}

// member is one key of a map, the key encoded already.
type member struct {
	name  string
	key   []byte
	value body
}

type jsonMap []member

func (b jsonMap) write(e *evaluation, w *bytes.Buffer) error {
	w.WriteByte('{')
	for i, m := range b {
		if i > 0 {
			w.WriteByte(',')
		}
		w.Write(m.key)
		w.WriteByte(':')
		if err := m.value.write(e, w); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	w.WriteByte('}')
	return nil
}

// textBody is a body that is text and not JSON.
type textBody struct{ *template }

func (b textBody) write(e *evaluation, w *bytes.Buffer) error {
	s, err := b.render(e, freeText, e.limits.body)
	w.WriteString(s)
	return err
}

func (e *evaluation) tooLarge(w *bytes.Buffer) error {
	most := maxBody
	if e != nil {
		most = e.limits.body
	}
	if w.Len() > most {
		return fmt.Errorf("%w: over %s", errTooLong, sizeText(most))
	}
	return nil
}

// toJSON encodes a value compactly. What a small expression can build may be very large once it is written out, so it
// is measured first.
func toJSON(v any) (raw []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			raw, err = nil, fmt.Errorf("%w: over %s", errTooLong, sizeText(maxBody))
			if r != error(errWork) {
				err = fmt.Errorf("it can't be written as JSON: %v", r)
			}
		}
	}()
	(&meter{left: 4 * maxBody}).pay(v)
	var w bytes.Buffer
	encoder := json.NewEncoder(&w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plainValue(v)); err != nil {
		var unsupported *json.UnsupportedValueError
		if errors.As(err, &unsupported) {
			return nil, fmt.Errorf("%s has no JSON", unsupported.Str)
		}
		return nil, errors.New("it can't be written as JSON")
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n")), nil
}

// eventJSON is an Event as receivers see it: its time has milliseconds.
type eventJSON struct {
	Type      EventType      `json:"type"`
	At        string         `json:"at"`
	Tool      string         `json:"tool,omitempty"`
	Status    string         `json:"status,omitempty"`
	Message   string         `json:"message,omitempty"`
	Content   string         `json:"content,omitempty"`
	AgentName string         `json:"agent_name,omitempty"`
	Raw       map[string]any `json:"raw,omitempty"`
}

func newEventJSON(e Event) eventJSON {
	return eventJSON{e.Type, e.At.UTC().Format(TimeFormat), e.Tool, e.Status, e.Message, e.Content, e.AgentName, e.Raw}
}

// plainValue turns what expr can make and JSON can't say into what it can.
func plainValue(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(TimeFormat)
	case time.Duration:
		return v.String()
	case eventFacts:
		return eventJSON{EventType(v.Type), v.At.UTC().Format(TimeFormat), v.Tool, v.Status, v.Message, v.Content, v.AgentName, v.Raw}
	case []any:
		all := make([]any, len(v))
		for i, x := range v {
			all[i] = plainValue(x)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for k, x := range v {
			all[k] = plainValue(x)
		}
		return all
	}
	if m := reflect.ValueOf(v); m.Kind() == reflect.Map && m.Type().Key().Kind() != reflect.String {
		all := make(map[string]any, m.Len())
		for it := m.MapRange(); it.Next(); {
			all[fmt.Sprint(it.Key().Interface())] = plainValue(it.Value().Interface())
		}
		return all
	}
	return v
}

// defaultData is the body's data where the rule says nothing.
type defaultData struct {
	Rule         string       `json:"rule"`
	Event        eventJSON    `json:"event"`
	Response     Response     `json:"response"`
	Turn         Turn         `json:"turn"`
	Conversation Conversation `json:"conversation"`
	Prompt       Prompt       `json:"prompt"`
}

// defaultBody is the body of an action without one: the payload that Standard Webhooks describes.
type defaultBody struct {
	Type      EventType   `json:"type"`
	Timestamp string      `json:"timestamp"`
	Data      defaultData `json:"data"`
}

// cloudEvent is the structured mode of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time"`
	Subject         string          `json:"subject,omitempty"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// renderBody renders an action's body once, as it is stored and sent.
func (a *action) renderBody(rule string, e *evaluation, f *Facts, id string) ([]byte, error) {
	envelope := a.webhook != nil && a.webhook.Format == "cloudevents"
	if a.body == nil && a.method == "GET" {
		return nil, nil
	}
	var w bytes.Buffer
	if a.body != nil {
		if err := a.body.write(e, &w); err != nil {
			return nil, err
		}
	} else if err := writeDefault(&w, rule, f, envelope); err != nil {
		return nil, err
	}
	raw, err := w.Bytes(), error(nil)
	if envelope {
		raw, err = encode(wrap(w.Bytes(), a.body, f, id))
	}
	if most := e.limits.body; err == nil && len(raw) > most {
		err = fmt.Errorf("%w: over %s", errTooLong, sizeText(most))
	}
	return raw, err
}

func writeDefault(w *bytes.Buffer, rule string, f *Facts, dataOnly bool) error {
	data := defaultData{rule, newEventJSON(f.Event), f.Response, f.Turn, f.Conversation, f.Prompt}
	if data.Turn.Tools == nil {
		data.Turn.Tools = map[string]string{}
	}
	if data.Conversation.Tools == nil {
		data.Conversation.Tools = map[string]string{}
	}
	var value any = data
	if !dataOnly {
		value = defaultBody{f.Event.Type, f.Event.At.UTC().Format(TimeFormat), data}
	}
	raw, err := encode(value)
	w.Write(raw)
	return err
}

func encode(v any) ([]byte, error) {
	var w bytes.Buffer
	encoder := json.NewEncoder(&w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("it can't be written as JSON: %w", err)
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n")), nil
}

// wrap puts a body into a CloudEvent. Text becomes a JSON string, as the JSON format of CloudEvents has it.
func wrap(raw []byte, b body, f *Facts, id string) cloudEvent {
	c := cloudEvent{
		SpecVersion: "1.0", ID: id, Source: "/dgworker/bots/" + url.PathEscape(f.Prompt.Bot),
		Type: "dgworker." + string(f.Event.Type), Time: f.Event.At.UTC().Format(TimeFormat),
		Subject: f.Prompt.ID, DataContentType: "application/json", Data: raw,
	}
	if _, isText := b.(textBody); isText {
		c.DataContentType = "text/plain"
		c.Data, _ = encode(string(raw)) // a string always has JSON
	}
	return c
}
