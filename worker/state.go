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
	rank      map[string]int   // rule -> its place in the file: the order of replies
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
	s := &State{
		VisitorID: visitorID,
		Session:   rules.NewSession(p.Prompt, visitorID),
		script:    p.Messages,
		rank:      map[string]int{},
		asked:     map[string]asked{},
		room:      bot.MaxTranscript,
	}
	for i, r := range set.Rules() {
		s.rank[r.Name] = i
	}
	return s
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

// send begins a turn, or begins the last one again.
func (s *State) send(m *Sent) {
	s.VisitorID, s.shown = m.VisitorID, false
	s.Session.BeginTurn(m.Turn, m.Message)
	if m.Turn == len(s.Turns) {
		s.Turns = append(s.Turns, Turn{Message: m.Message, Tools: Tools{}, Events: []rules.Seen{}})
	}
}

// say keeps one stream of the bot. The turn's last one is its response; those before it are interim.
func (s *State) say(m Stream) {
	m.Text = s.fit(m.Text)
	s.Truncated = s.Truncated || m.Truncated
	if m.Greeting || len(s.Turns) == 0 {
		s.Greeting = append(s.Greeting, m)
		return
	}
	t := s.turn()
	if t.said {
		t.Interim = append(t.Interim, Stream{MessageID: t.MessageID, Text: t.Response})
	}
	t.Response, t.MessageID, t.said = m.Text, m.MessageID, true
}

// see keeps one event with its decisions.
func (s *State) see(seen rules.Seen) {
	s.shown = true
	if t := s.turn(); t != nil {
		t.Events = append(t.Events, seen)
		t.note(seen)
	} else {
		s.Loose = append(s.Loose, seen)
	}
	switch seen.Type {
	case rules.HandoffOffered:
		s.Offered = true
	case rules.AgentLeft:
		s.AgentLeft = s.Offered
	case rules.ConversationEnded:
		s.Ended = &Ending{Status(seen.Status), seen.Message}
	}
	for _, d := range seen.Decisions {
		if d.Result == rules.Fired {
			s.ask(seen, d.Actions)
		}
	}
}

func (t *Turn) note(seen rules.Seen) {
	switch seen.Type {
	case rules.ToolAction, rules.ToolActionResult:
		t.Tools[seen.Tool] = seen.Status
	case rules.FinalResponse:
		t.Settled = true
	}
}

// ask keeps what a fired rule asks for: replies in the order of their rules within a turn, the rest in order of firing.
func (s *State) ask(seen rules.Seen, actions []rules.Action) {
	for _, a := range actions {
		if a.Kind != rules.KindReply {
			s.actions = append(s.actions, a)
			s.asked[a.ID] = asked{seen.Type, seen.At}
			continue
		}
		r := reply{a.Text, len(s.Turns), s.rank[a.Rule]}
		at := len(s.replies)
		for at > 0 && s.replies[at-1].turn == r.turn && s.replies[at-1].rank > r.rank {
			at--
		}
		s.replies = slices.Insert(s.replies, at, r)
	}
}

// settledTurns counts the turns that are over.
func (s *State) settledTurns() int {
	n := len(s.Turns)
	if n > 0 && !s.Turns[n-1].Settled {
		n--
	}
	return n
}

// forget takes back an action that is not to be enqueued.
func (s *State) forget(id string) {
	s.actions = slices.DeleteFunc(s.actions, func(a rules.Action) bool { return a.ID == id })
	delete(s.asked, id)
}

func (s *State) turn() *Turn {
	if len(s.Turns) == 0 {
		return nil
	}
	return &s.Turns[len(s.Turns)-1]
}

func (s *State) response() *rules.Response {
	t := s.turn()
	if t == nil {
		return &rules.Response{}
	}
	return &rules.Response{Text: t.Response, MessageID: t.MessageID}
}

// fitEvent leaves out of the transcript what it has no room for. The rules have seen it by then.
func (s *State) fitEvent(seen *rules.Seen, size int) {
	if size <= s.room {
		s.room -= size
		return
	}
	s.Truncated = true
	seen.Raw, seen.Content, seen.Message = nil, cutText(seen.Content, s.room), cutText(seen.Message, s.room)
	s.room -= min(s.room, len(seen.Content)+len(seen.Message))
}

// fit cuts text to the room that the transcript has left, at the boundary of a character.
func (s *State) fit(text string) string {
	if len(text) <= s.room {
		s.room -= len(text)
		return text
	}
	s.Truncated = true
	text = cutText(text, s.room)
	s.room = 0
	return text
}
