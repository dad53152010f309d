package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dgworker/sinks"
)

// State is where an action is in its life.
type State string

// The states. The first three are also the last token of the action's subject; an action whose done says dead has its
// whole content in the dead letters.
const (
	Todo State = "todo" // waits for its lane
	Wait State = "wait" // waits for the time of its next attempt
	Done State = "done" // delivered
	Dead State = "dead" // a dead letter

	anyState State = "*"
)

// maxReason bounds the reason of an attempt, in bytes: it is for people, and is stored with every later step.
const maxReason = 1 << 10

// Attempt is one line of the attempt log.
type Attempt struct {
	N       int         `json:"n"`  // from 1; goes on counting after a redrive
	At      time.Time   `json:"at"` // when it began
	MS      int64       `json:"ms"` // how long it took
	Class   sinks.Class `json:"class"`
	Status  int         `json:"status,omitempty"`
	Address string      `json:"address,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Excerpt string      `json:"excerpt,omitempty"` // of the response; the oldest are cut first where a record would be too big
}

// record is the stored form of an action, in every state and as a dead letter.
type record struct {
	Delivery sinks.Delivery `json:"delivery"`
	Attempts []Attempt      `json:"attempts,omitempty"`
	Tries    int            `json:"tries,omitempty"`   // attempts that count against the schedule: none of before a redrive, no 410
	Next     time.Time      `json:"next,omitzero"`     // wait: when the next attempt is
	Outcome  State          `json:"outcome,omitempty"` // done: Done or Dead
	Reason   string         `json:"reason,omitempty"`  // why it is dead
	At       time.Time      `json:"at,omitzero"`       // when it was settled
	Redrive  uint64         `json:"redrive,omitempty"` // sequence of the dead letter that it was redriven from
}

// logged returns the record with one more attempt in its log.
func (r record) logged(at time.Time, took time.Duration, v sinks.Verdict) record {
	n := 1
	if len(r.Attempts) > 0 {
		n = r.Attempts[len(r.Attempts)-1].N + 1
	}
	r.Attempts = append(slices.Clone(r.Attempts), Attempt{
		N: n, At: at.UTC().Truncate(time.Millisecond), MS: took.Milliseconds(), Class: v.Class, Status: v.Status,
		Address: v.Address, Reason: cut(v.Reason, maxReason), Excerpt: v.Excerpt,
	})
	return r
}

// last is the latest attempt, zero if there was none.
func (r record) last() Attempt {
	if len(r.Attempts) == 0 {
		return Attempt{}
	}
	return r.Attempts[len(r.Attempts)-1]
}

// settled is the small form kept after the end: who and how, without what was sent.
func (r record) settled(outcome State, reason string, at time.Time) record {
	r.Delivery.Body, r.Delivery.Headers, r.Delivery.Query = nil, nil, ""
	r.Outcome, r.Reason, r.Next = outcome, reason, time.Time{}
	r.At = at.UTC().Truncate(time.Millisecond)
	return r
}

// encode returns the record's JSON in at most limit bytes. What has to go goes in the order of its worth: the excerpts
// from the oldest, then whole attempts from the oldest, never the delivery.
func (r record) encode(limit int) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil || len(data) <= limit {
		return data, err
	}
	if r.Attempts, data, err = trimExcerpts(r, len(data), limit); err != nil || len(data) <= limit {
		return data, err
	}
	for len(r.Attempts) > 1 {
		r.Attempts = r.Attempts[1:]
		if data, err = json.Marshal(r); err != nil || len(data) <= limit {
			return data, err
		}
	}
	return nil, fmt.Errorf("%w: %d bytes, where %d fit", ErrTooLarge, len(data), limit)
}

// trimExcerpts drops as many of the oldest excerpts as it takes to come from size to limit. It counts what each saves
// instead of encoding the whole record, which may hold a big body, once for each.
func trimExcerpts(r record, size, limit int) ([]Attempt, []byte, error) {
	r.Attempts = slices.Clone(r.Attempts)
	for i := 0; i < len(r.Attempts) && size > limit; i++ {
		if r.Attempts[i].Excerpt == "" {
			continue
		}
		text, err := json.Marshal(r.Attempts[i].Excerpt)
		if err != nil {
			return nil, nil, err
		}
		size -= len(`,"excerpt":`) + len(text)
		r.Attempts[i].Excerpt = ""
	}
	data, err := json.Marshal(r)
	return r.Attempts, data, err
}

// cut shortens text for people to at most n bytes, at the boundary of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n]
}
