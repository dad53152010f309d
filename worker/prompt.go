package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"dgworker/rules"
)

// Prompt is one job, read and found valid.
type Prompt struct {
	rules.Prompt           // what rules see of it
	Messages     []string  // what the visitor says, in order; Messages[0] is Content
	VisitorID    string    // "" if the prompt names none: one is generated
	Deadline     time.Time // zero for none: not begun after it, and ended as failed when it passes
	ReplyTo      string    // where the outcome goes besides, "" for nowhere
	RetryOf      string    // the id of the prompt that this one repeats
	Place        string    // of its message, the same on every redelivery
	Hold         Hold      // which delivery of its message this is
	Live         string    // where somebody watches, "" for nobody
	Lane         string    // the lane that it came on, "" for none
	payload      []byte
}

// Headers of a prompt's NATS message that dgworker itself sets or reads.
const (
	HeaderID      = "Nats-Msg-Id"       // the prompt's id where the payload has none
	HeaderRetryOf = "Dgworker-Retry-Of" // set by `dead retry`
	HeaderHops    = "Dgworker-Hops"     // how many rules and triggers led to this prompt
)

// InvalidError says why a payload is not a prompt. It ends the prompt as rejected.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// maxID bounds an id, so that it fits into a subject and a header whatever it is encoded as.
const maxID = 256

// payload is the JSON form of a prompt, as documented in the README.
type payload struct {
	ID        *string         `json:"id"`
	Content   *string         `json:"content"`
	Messages  []string        `json:"messages"`
	VisitorID *string         `json:"visitor_id"`
	Data      json.RawMessage `json:"data"`
	Timeout   json.RawMessage `json:"timeout"`
	ExpiresAt json.RawMessage `json:"expires_at"`
	ReplyTo   *string         `json:"reply_to"`
}

// ParsePrompt reads the payload and headers of job. maxContent bounds each message in bytes. The prompt's id and bot are
// set even when err is an *InvalidError, because a rejected prompt has an outcome too. The payload is read once, however
// often it is asked for: by the queue for its visitor, by the worker for all of it.
func ParsePrompt(job *Job, maxContent int) (*Prompt, error) {
	if job.prompt == nil {
		job.prompt, job.invalid = parsePrompt(job)
	}
	p, err := job.prompt, job.invalid
	if err == nil {
		err = checkMessages(p.Messages, maxContent)
	}
	if err != nil {
		p.Content = ""
	}
	return p, err
}

func parsePrompt(job *Job) (*Prompt, error) {
	p := &Prompt{RetryOf: job.header(HeaderRetryOf), Live: job.header(HeaderLive), Lane: job.Lane, Place: job.PositionID, Hold: job.Hold, payload: job.Payload}
	p.Bot, p.ID = job.Bot, job.fallbackID()
	p.Headers = job.firstHeaders()
	raw, err := decodePayload(job.Payload)
	if idErr := p.fillID(raw); err == nil {
		err = idErr
	}
	if err != nil {
		return p, err
	}
	return p, p.fill(raw, job)
}

// fillID takes the payload's id also where the rest of the payload is wrong: whoever sent it looks for that id.
func (p *Prompt) fillID(raw *payload) error {
	if raw == nil || raw.ID == nil {
		return nil
	}
	if *raw.ID == "" || len(*raw.ID) > maxID {
		return invalid(`"id" must have 1 to %d bytes`, maxID)
	}
	p.ID = *raw.ID
	return nil
}

func decodePayload(b []byte) (*payload, error) {
	if !utf8.Valid(b) {
		return nil, invalid("the payload is not valid UTF-8")
	}
	trimmed := bytes.TrimLeft(b, " \t\r\n")
	if len(trimmed) == 0 {
		return nil, invalid("the payload is empty")
	}
	if trimmed[0] != '{' {
		text := string(b)
		return &payload{Content: &text}, nil
	}
	raw := new(payload)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(raw); err != nil {
		return raw, invalid("the payload is not a prompt: %s", jsonMistake(err))
	}
	end := d.InputOffset()
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More would take a stray brace for an end
		return raw, invalid("the payload is not a prompt: something follows the object at byte %d", end)
	}
	return raw, nil
}

// jsonMistake puts encoding/json's errors into words for the person who sent the prompt.
func jsonMistake(err error) string {
	var typ *json.UnmarshalTypeError
	var syn *json.SyntaxError
	switch {
	case errors.As(err, &typ):
		return fmt.Sprintf("%q is a JSON %s and must be a %s", typ.Field, typ.Value, strings.TrimPrefix(typ.Type.String(), "*"))
	case errors.As(err, &syn):
		return fmt.Sprintf("JSON syntax at byte %d: %v", syn.Offset, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "JSON syntax: it breaks off"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func (p *Prompt) fill(raw *payload, job *Job) error {
	if raw.Content != nil {
		p.Messages = append(p.Messages, *raw.Content)
	}
	p.Messages = append(p.Messages, raw.Messages...)
	if len(p.Messages) == 0 {
		return invalid(`the prompt has neither "content" nor "messages"`)
	}
	p.Content = p.Messages[0]
	if err := p.fillVisitor(raw, job); err != nil {
		return err
	}
	if raw.ReplyTo != nil {
		p.ReplyTo = *raw.ReplyTo
	}
	if len(raw.Data) > 0 {
		data, err := decodeNumbers(raw.Data)
		if err != nil {
			return invalid(`"data": %v`, err)
		}
		p.Data = data
	}
	return p.fillDeadline(raw, job)
}

func checkMessages(messages []string, maxContent int) error {
	for i, m := range messages {
		if strings.TrimSpace(m) == "" {
			return invalid("message %d is empty", i+1)
		}
		if len(m) > maxContent {
			return invalid("message %d has %d bytes; at most %d are allowed (max_content of the bot)", i+1, len(m), maxContent)
		}
	}
	return nil
}

func (p *Prompt) fillVisitor(raw *payload, job *Job) error {
	p.VisitorID = job.Lane
	if raw.VisitorID == nil {
		return nil
	}
	if *raw.VisitorID == "" || len(*raw.VisitorID) > maxID {
		return invalid(`"visitor_id" must have 1 to %d bytes`, maxID)
	}
	p.VisitorID = *raw.VisitorID
	return nil
}

func (p *Prompt) fillDeadline(raw *payload, job *Job) error {
	if absent := len(raw.ExpiresAt) == 0 || string(raw.ExpiresAt) == "null"; !absent {
		// Decoded here and not with the payload: there its error would name no field, and end the search for the id.
		if err := json.Unmarshal(raw.ExpiresAt, &p.Deadline); err != nil {
			return invalid(`"expires_at" must be a time in RFC 3339, such as "2026-11-03T09:00:00Z": %.40s`, raw.ExpiresAt)
		}
	}
	if len(raw.Timeout) == 0 || string(raw.Timeout) == "null" {
		return nil
	}
	d, err := parseTimeout(raw.Timeout)
	if err != nil {
		return err
	}
	if t := job.Arrived.Add(d); p.Deadline.IsZero() || t.Before(p.Deadline) {
		p.Deadline = t
	}
	return nil
}

// parseTimeout reads a duration ("90s") or a number of seconds.
func parseTimeout(b json.RawMessage) (time.Duration, error) {
	var s string
	var n float64
	d := time.Duration(0)
	if json.Unmarshal(b, &n) == nil {
		if n > 0 && n < 1e9 {
			d = time.Duration(n * float64(time.Second))
		}
	} else if json.Unmarshal(b, &s) == nil {
		d, _ = time.ParseDuration(s)
	}
	if d <= 0 {
		return 0, invalid(`"timeout" must be a positive duration such as "90s", or a number of seconds: %.40s`, b)
	}
	return d, nil
}
