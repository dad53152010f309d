package rules

import (
	"context"
	"maps"
)

// Seen is one event as it was put to the rules: its ordinal, the event, and what came of it. The journal keeps it and
// the outcome lists it, so that the same facts can be built again after a crash, by explain and by backtest.
type Seen struct {
	N int `json:"n"` // ordinal in the conversation, from 1
	Event
	Response  *Response  `json:"-"`                   // with final_response: what it said; the turn keeps it
	Decisions []Decision `json:"decisions,omitempty"` // fired, error, once, cooldown, shadow, max_turns
}

// Session folds a conversation into the facts that rules see, event by event, and remembers which rules fired. It is
// the one evaluator: the worker, `rules test`, explain and backtest all put their events to the rules through it. A
// Session is for one conversation and not safe for concurrent use.
type Session struct {
	prompt       Prompt
	conversation Conversation
	turn         Turn
	response     Response
	n            int
	fired        map[string]int // rule -> 1 + index of the turn in which it fired last
	decisions    []Decision     // reused between events
}

// NewSession begins a conversation that has had no turn yet.
func NewSession(p Prompt, visitorID string) *Session {
	return &Session{
		prompt:       p,
		conversation: Conversation{VisitorID: visitorID, Bot: p.Bot, Status: "open", Tools: map[string]string{}},
		turn:         Turn{Tools: map[string]string{}},
		fired:        map[string]int{},
	}
}

// BeginTurn notes that the visitor says message as turn index, from 0; the same index again is a turn that is repeated.
func (s *Session) BeginTurn(index int, message string) {
	s.turn = Turn{Index: index, Message: message, Tools: map[string]string{}}
	s.conversation.Turns = index + 1
}

// Ordinal returns the ordinal of the last event, 0 before the first.
func (s *Session) Ordinal() int { return s.n }

// Conversation returns the conversation up to now; its maps are a copy.
func (s *Session) Conversation() Conversation {
	c := s.conversation
	c.Tools = maps.Clone(c.Tools)
	return c
}

// Put puts one event to the rules of set and returns it with every decision about it, the False ones too. The decisions
// are the caller's until the next Put. Response goes with final_response, and is nil otherwise.
func (s *Session) Put(ctx context.Context, set *Set, claims Claims, e Event, r *Response) (Seen, []Decision) {
	s.observe(s.n+1, e, r)
	s.decisions = set.Match(ctx, &Occasion{
		Facts:               s.facts(e),
		Occurrence:          s.n,
		FiredInTurn:         func(rule string) bool { return s.fired[rule] == s.turn.Index+1 },
		FiredInConversation: func(rule string) bool { return s.fired[rule] > 0 },
		Claims:              claims,
	}, s.decisions[:0])
	seen := Seen{N: s.n, Event: e, Response: r, Decisions: worthKeeping(s.decisions)}
	s.remember(seen.Decisions)
	return seen, s.decisions
}

// Replay takes an event that was put to the rules before, with the decisions of then, and decides nothing.
func (s *Session) Replay(seen Seen) {
	s.observe(seen.N, seen.Event, seen.Response)
	s.remember(seen.Decisions)
}

func (s *Session) observe(n int, e Event, r *Response) {
	s.n = n
	switch e.Type {
	case ToolAction, ToolActionResult:
		s.turn.Tools[e.Tool] = e.Status
		s.conversation.Tools[e.Tool] = e.Status
	case HandoffOffered:
		s.conversation.HandedOff = true
	case FinalResponse:
		if r != nil {
			s.response = *r
		}
	case ConversationEnded:
		s.conversation.Status = e.Status
	}
}

func (s *Session) facts(e Event) Facts {
	return Facts{Event: e, Response: s.response, Turn: s.turn, Conversation: s.conversation, Prompt: s.prompt}
}

func (s *Session) remember(ds []Decision) {
	for _, d := range ds {
		if d.Result == Fired {
			s.fired[d.Rule] = s.turn.Index + 1
		}
	}
}

// worthKeeping drops what explain finds again by itself: False, Off, OtherBot and Backstop are counted, not recorded.
func worthKeeping(ds []Decision) []Decision {
	var kept []Decision
	for _, d := range ds {
		switch d.Result {
		case False, Off, OtherBot, Backstop:
		default:
			kept = append(kept, d)
		}
	}
	return kept
}
