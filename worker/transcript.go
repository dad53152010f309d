package worker

import (
	"slices"

	"dgworker/rules"
)

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
		r := reply{a.Text, len(s.Turns), s.set.Place(a.Rule)}
		at := len(s.replies)
		for at > 0 && s.replies[at-1].turn == r.turn && s.replies[at-1].rank > r.rank {
			at--
		}
		s.replies = slices.Insert(s.replies, at, r)
	}
}

// forget takes back an action that is not to be enqueued.
func (s *State) forget(id string) {
	s.actions = slices.DeleteFunc(s.actions, func(a rules.Action) bool { return a.ID == id })
	delete(s.asked, id)
}

// settledTurns counts the turns that are over.
func (s *State) settledTurns() int {
	n := len(s.Turns)
	if n > 0 && !s.Turns[n-1].Settled {
		n--
	}
	return n
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
