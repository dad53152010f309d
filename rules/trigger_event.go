package rules

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/url"
	"strings"
	"time"
)

// TriggerEvent is a message on NATS as the expressions of a trigger see it.
type TriggerEvent struct {
	Subject string
	At      time.Time         // when NATS had it: what now() gives
	Headers map[string]string // the first value of each
	Data    any               // the payload: JSON with whole numbers as int, or text; nil where it is empty
	CE      map[string]string // attributes of a CloudEvent by name, extensions too; empty where it is none
}

// NewTriggerEvent reads a message. A payload that is not JSON is text. A CloudEvent is recognised in binary mode (headers
// ce-…) and in structured mode (a JSON object of that content type, or with the four attributes that every one has); Data
// is then the data within it.
func NewTriggerEvent(subject string, headers map[string][]string, payload []byte, at time.Time) TriggerEvent {
	ev := TriggerEvent{Subject: subject, At: at, Headers: make(map[string]string, len(headers)), CE: map[string]string{}}
	contentType := ""
	for name, values := range headers {
		if len(values) == 0 {
			continue
		}
		ev.Headers[name] = values[0]
		lower := strings.ToLower(name)
		if attribute, ok := strings.CutPrefix(lower, "ce-"); ok {
			ev.CE[attribute] = unescapeHeader(values[0])
		}
		if lower == "content-type" {
			contentType = values[0]
		}
	}
	ev.Data = payloadValue(payload)
	if envelope, ok := ev.Data.(map[string]any); ok && len(ev.CE) == 0 && isStructured(contentType, envelope) {
		ev.open(envelope)
	}
	if len(ev.CE) > 0 && contentType != "" && ev.CE["datacontenttype"] == "" && !isCloudEvents(contentType) {
		ev.CE["datacontenttype"] = contentType // in binary mode this attribute is that header
	}
	return ev
}

// ID is what the event itself is known by, "" if it has no id: where it came in again under it, it is the same event.
// Ids of CloudEvents count within their source.
func (ev TriggerEvent) ID() string {
	if id := ev.Headers["Nats-Msg-Id"]; id != "" {
		return "msg " + ev.Subject + " " + id
	}
	if id := ev.CE["id"]; id != "" {
		return "ce " + ev.CE["source"] + " " + id
	}
	return ""
}

func payloadValue(payload []byte) any {
	if len(payload) == 0 {
		return nil
	}
	if v, err := decodeWhole(payload); err == nil {
		return v
	}
	return string(payload)
}

// decodeWhole decodes JSON for expressions: whole numbers become int, because an order number must not turn into
// 1.234567e+06 where a template prints it.
func decodeWhole(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, io.ErrUnexpectedEOF // something follows: this is not one value
	}
	return wholeNumbers(v), nil
}

func wholeNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, err := v.Float64()
		if err != nil {
			return v.String() // beyond float64: what it says is all that can be kept
		}
		return f
	case []any:
		for i := range v {
			v[i] = wholeNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = wholeNumbers(v[k])
		}
	}
	return v
}

func isCloudEvents(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/cloudevents" || strings.HasPrefix(media, "application/cloudevents+"))
}

// isStructured recognises an envelope by its content type, which many senders forget, or else by its attributes.
func isStructured(contentType string, envelope map[string]any) bool {
	if isCloudEvents(contentType) {
		return true
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if s, ok := envelope[name].(string); !ok || s == "" {
			return false
		}
	}
	return strings.HasPrefix(envelope["specversion"].(string), "1.")
}

// open takes an envelope apart.
func (ev *TriggerEvent) open(envelope map[string]any) {
	for name, value := range envelope {
		if name == "data" || name == "data_base64" || value == nil {
			continue
		}
		if s, err := toText(value); err == nil {
			ev.CE[name] = s
		}
	}
	ev.Data = envelope["data"]
	if s, ok := envelope["data_base64"].(string); ok {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			ev.Data = payloadValue(raw)
		}
	}
}

// unescapeHeader undoes the percent-encoding that header values of CloudEvents have.
func unescapeHeader(value string) string {
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}
