package worker

import (
	"encoding/json"
	"time"

	"dgworker/rules"
)

// Record is one append to a prompt's journal, under the subject of that prompt. Its parts happened in the order of the
// fields; a plain question and answer has one record, with Sent alone.
type Record struct {
	At     time.Time `json:"at"`
	Writer string    `json:"writer"` // worker and a nonce: tells an append that was stored unheard from a rival's
	Rules  string    `json:"rules"`  // version of the rule set that decided
	Place  string    `json:"place"`  // of the message that the prompt came with: another message with this id is a duplicate
	Hold   Hold      `json:"hold"`   // by which delivery of it the writer holds the prompt

	Begun   *Begun       `json:"begun,omitempty"`   // an attempt on a prompt that somebody held before
	Said    []Stream     `json:"said,omitempty"`    // what the bot said since the last record
	Seen    []rules.Seen `json:"seen,omitempty"`    // events with their decisions and rendered actions
	Handoff *time.Time   `json:"handoff,omitempty"` // a person was offered: the conversation stays open until then
	Sent    *Sent        `json:"sent,omitempty"`    // a visitor message is about to be sent
	Failed  *Failure     `json:"failed,omitempty"`  // the attempt failed and counts
	Reject  string       `json:"reject,omitempty"`  // the prompt is not valid, for this reason
	Back    string       `json:"back,omitempty"`    // the prompt was handed back for this reason, which counts nothing
}

// Begun is the beginning of an attempt that is not the prompt's first.
type Begun struct {
	Attempt int      `json:"attempt"`        // from 1
	Lost    *Failure `json:"lost,omitempty"` // the attempt before, if its worker ended without a word
}

// Sent is the mark before a visitor message.
type Sent struct {
	Turn      int    `json:"turn"` // from 0
	Message   string `json:"message"`
	VisitorID string `json:"visitor_id"`
}

// Stream is one message of the bot, joined from its chunks.
type Stream struct {
	MessageID string `json:"message_id,omitempty"`
	Text      string `json:"text"`
	Greeting  bool   `json:"greeting,omitempty"`  // said before our first message
	Truncated bool   `json:"truncated,omitempty"` // more was said than the transcript may hold
}

// Failure is why an attempt did not end in an outcome.
type Failure struct {
	Attempt   int       `json:"attempt"`
	At        time.Time `json:"at"`
	Reason    string    `json:"reason"`
	NotBefore time.Time `json:"not_before,omitzero"` // when the next attempt may begin
}

// MarshalJSON writes the times as everywhere in an outcome.
func (f Failure) MarshalJSON() ([]byte, error) {
	type plain Failure
	return json.Marshal(struct {
		plain
		At        Time `json:"at"` // outranks the embedded one, as the next does
		NotBefore Time `json:"not_before,omitzero"`
	}{plain(f), Time{Time: f.At}, Time{Time: f.NotBefore}})
}
