package worker

import (
	"slices"
	"time"

	"dgworker/rules"
)

// State is a conversation so far: the fold of its journal. A live conversation passes through the same see, say and send
// as a journal that is read again, so a worker that goes on after a crash stands where the one before it stood.
type State struct {
	Last      uint64 // sequence of the last record, 0 if there is none: what the next append expects
	Place     string // of the message that the prompt came with
	Hold      Hold   // the latest delivery of it that has written
	Writer    string // of the last record
	LastAt    time.Time
	VisitorID string
	StartedAt time.Time
	Turns     []Turn
	Loose     []rules.Seen // events of a conversation that has no turn
	Greeting  []Stream
	Session   *rules.Session
	Failures  []Failure // attempts that count
	Attempt   int       // number of the attempt under way, 0 before the first
	Versions  []string  // of the rule sets that decided, in order
	HandoffAt time.Time // until when a person is waited for; zero if nobody is
	Offered   bool      // a person was offered
	AgentLeft bool      // and has gone again
	Ended     *Ending   // set once conversation_ended was put to the rules: only the outcome is missing

	open      bool             // the attempt has neither failed nor been handed back
	shown     bool             // the turn has shown something, so it isn't sent again
	script    []string         // the prompt's own messages
	replies   []reply          // what rules want said after them
	set       *rules.Set       // says in which order replies are said
	actions   []rules.Action   // webhooks and publishes, to be enqueued again after a crash
	asked     map[string]asked // action id -> the event that asked for it
	room      int              // bytes of transcript still free
	Truncated bool
}

// Ending is how a conversation ends.
type Ending struct {
	Status Status
	Reason string
}

type reply struct {
	text       string
	turn, rank int
}

type asked struct {
	event rules.EventType
	at    time.Time
}

// NewState returns the state of a prompt that has no journal yet.
func NewState(p *Prompt, visitorID string, set *rules.Set, bot *rules.Bot) *State {
	return &State{
		VisitorID: visitorID,
		Session:   rules.NewSession(p.Prompt, visitorID),
		script:    p.Messages,
		set:       set,
		asked:     map[string]asked{},
		room:      bot.MaxTranscript,
	}
}

// Apply folds one record of a journal that is read again, stored at sequence seq.
func (s *State) Apply(r *Record, seq uint64) {
	s.stored(r, seq)
	for _, said := range r.Said {
		s.say(said)
	}
	for _, seen := range r.Seen {
		if seen.Type == rules.FinalResponse {
			seen.Response = s.response()
		}
		s.Session.Replay(seen)
		s.see(seen)
	}
	if r.Sent != nil {
		s.send(r.Sent)
	}
}

// stored notes what only a stored record makes true: who wrote it, the fence, and the count of attempts.
func (s *State) stored(r *Record, seq uint64) {
	s.Last, s.LastAt, s.Place, s.Hold, s.Writer = seq, r.At, r.Place, r.Hold, r.Writer
	if s.Attempt == 0 {
		s.Attempt, s.open, s.StartedAt = 1, true, r.At
	}
	if r.Rules != "" && !slices.Contains(s.Versions, r.Rules) {
		s.Versions = append(s.Versions, r.Rules)
	}
	if r.Begun != nil {
		if r.Begun.Lost != nil {
			s.Failures = append(s.Failures, *r.Begun.Lost)
		}
		s.Attempt, s.open = r.Begun.Attempt, true
	}
	if r.Handoff != nil {
		s.HandoffAt = *r.Handoff
	}
	if r.Failed != nil {
		s.Failures, s.open = append(s.Failures, *r.Failed), false
	}
	if r.Back != "" {
		s.open = false
	}
	if r.Reject != "" {
		s.Ended = &Ending{Rejected, r.Reject}
	}
}
