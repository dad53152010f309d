package worker

import (
	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// liveTurn is what a turn has under way: the part of it that needs no journal, because a cut ends it.
type liveTurn struct {
	streams  dgbot.Streams
	greeting map[string]bool // ids of streams that began before our message
	calling  map[string]int  // tools that were called and have not returned
	ended    int             // streams that ended
	offered  bool            // a person was offered
	awaiting bool            // settled, and waiting for a person
}

func newTurn(maxBytes int) liveTurn {
	return liveTurn{streams: dgbot.Streams{Limit: maxBytes}, calling: map[string]int{}}
}

// resumeTurn takes a turn up again after its socket was lost: what it showed stands, streams begin anew.
func resumeTurn(t *Turn, maxBytes int) liveTurn {
	l := newTurn(maxBytes)
	if t == nil {
		return l
	}
	l.awaiting = t.Settled
	for _, seen := range t.Events {
		l.note(seen.Type, seen.Tool, seen.Status)
	}
	if t.said && !t.Settled {
		l.ended = 1
	}
	return l
}

// settled says whether the turn would be over if nothing more came.
func (l *liveTurn) settled() bool {
	return (l.ended > 0 || l.offered) && l.streams.Open() == len(l.greeting) && len(l.calling) == 0
}

func (l *liveTurn) start(f *dgbot.Frame, greeting bool) {
	l.streams.Start(f.MessageID)
	l.mark(f.MessageID, greeting)
}

func (l *liveTurn) chunk(f *dgbot.Frame, greeting bool) {
	l.streams.Chunk(*f)
	l.mark(f.MessageID, greeting)
}

// finish ends a stream and returns what it said.
func (l *liveTurn) finish(f *dgbot.Frame, greeting bool) Stream {
	text, _ := l.streams.End(f.MessageID)
	greeting = greeting || l.greeting[f.MessageID]
	delete(l.greeting, f.MessageID)
	if !greeting {
		l.ended++
	}
	return Stream{MessageID: f.MessageID, Text: text, Greeting: greeting, Truncated: l.streams.Truncated()}
}

func (l *liveTurn) mark(id string, greeting bool) {
	if !greeting {
		return
	}
	if l.greeting == nil {
		l.greeting = map[string]bool{}
	}
	l.greeting[id] = true
}

// note counts the tools under way, and the offer of a person.
func (l *liveTurn) note(t rules.EventType, tool, status string) {
	switch t {
	case rules.ToolAction:
		if status == "calling" || status == "" {
			l.calling[tool]++
		}
	case rules.ToolActionResult:
		if l.calling[tool]--; l.calling[tool] <= 0 {
			delete(l.calling, tool)
		}
	case rules.HandoffOffered:
		l.offered = true
	}
}
