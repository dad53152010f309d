package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// Job is one prompt's message as it was taken from the queue.
type Job struct {
	Bot        string
	Lane       string // the lane's name if the prompt came on a lane subject, else ""
	Payload    []byte
	Headers    map[string][]string
	Arrived    time.Time        // when NATS stored the prompt first
	PositionID string           // an id made of the message's place and time in its stream: the same on every redelivery
	Hold       Hold             // which delivery of the message this is
	Again      bool             // delivered before: its journal is read first
	Until      func() time.Time // until when the message is known to be this worker's; nil: nobody says
	NoSuchBot  bool             // no worker knows its bot, or its subject has too many tokens: to be rejected

	prompt  *Prompt // what ParsePrompt has read
	invalid error
}

// Hold tells the deliveries of a message apart: a later one is by the next message of its stream, or of the same message
// once more. A prompt belongs to the latest. NATS delivers again what it has not heard of for AckWait, and a worker that
// was paused meanwhile must not take the prompt back from the one that works on it.
type Hold struct {
	Seq uint64 `json:"seq"` // of the message, or of the lane's token, in its stream
	N   uint64 `json:"n"`   // deliveries of it, from 1
}

func (h Hold) after(o Hold) bool { return h.Seq > o.Seq || h.Seq == o.Seq && h.N > o.N }

// Disposition is what is to become of a job's message once Handle has returned.
type Disposition struct {
	Verb  Verb
	After time.Duration // with Nak: not before
}

// Verb is the kind of a Disposition.
type Verb int

// The verbs.
const (
	Ack   Verb = iota // the prompt has its outcome: remove it
	Nak               // bring it again, to any worker, after Disposition.After
	Leave             // say nothing: somebody else holds this prompt, or this worker already does
)

// ErrFenced says that another writer appended first: this worker was overtaken and must do nothing more for the prompt.
var ErrFenced = errors.New("overtaken by another worker")

func (j *Job) header(name string) string {
	if v := j.Headers[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (j *Job) fallbackID() string {
	if id := j.header(HeaderID); id != "" && len(id) <= maxID {
		return id
	}
	return j.PositionID
}

func (j *Job) firstHeaders() map[string]string {
	first := make(map[string]string, len(j.Headers))
	for name := range j.Headers {
		first[name] = j.header(name)
	}
	return first
}

// decodeNumbers decodes JSON for expressions: whole numbers become int, because an order number must not turn into
// 1.234567e+06 where a template prints it.
func decodeNumbers(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return plainNumbers(v), nil
}

func plainNumbers(v any) any {
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
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}
