package rules

import (
	"encoding/json"
	"time"
)

// TimeFormat is how every time is written: RFC 3339 with exactly three digits of a second.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// Time is a time that marshals in TimeFormat, in UTC.
type Time struct{ time.Time }

// MarshalJSON writes the time in TimeFormat.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(TimeFormat) + `"`), nil
}

// MarshalJSON flattens the event beside its ordinal and writes its time in TimeFormat.
func (s Seen) MarshalJSON() ([]byte, error) {
	type event Event
	return json.Marshal(struct {
		N int `json:"n"`
		event
		At        Time       `json:"at"` // outranks the embedded one
		Decisions []Decision `json:"decisions,omitempty"`
	}{s.N, event(s.Event), Time{s.At}, s.Decisions})
}
