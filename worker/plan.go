package worker

import (
	"time"

	"dgworker/rules"
)

// move is what a conversation does next.
type move int

const (
	send   move = iota // send step.message as the next turn
	resend             // send the last turn's message again: it showed nothing
	resume             // listen on the same visitor id for what a turn that was cut off still shows
	await              // wait for the person who was offered
	finish             // end as step.ending
)

type step struct {
	move    move
	message string
	until   time.Time // of resume and await
	ending  Ending
}

// plan works out from the state alone what comes next, whether the conversation is fresh, has just settled a turn, lost
// its socket, or is taken over from a worker that died.
func (s *State) plan(bot *rules.Bot) step {
	last := s.turn()
	unsettled := last != nil && !last.Settled
	switch {
	case s.Ended != nil:
		return step{move: finish, ending: *s.Ended}
	case s.waiting(bot) && s.AgentLeft:
		return step{move: finish, ending: Ending{Status: Handoff}}
	case s.waiting(bot) && unsettled:
		return step{move: await, until: s.HandoffAt}
	case unsettled:
		return s.planUnsettled(bot, last)
	case s.Offered && bot.OnHandoff == "end":
		return step{move: finish, ending: Ending{Status: Handoff}}
	}
	if m, ok := s.next(); ok {
		return step{move: send, message: m}
	}
	if s.Offered {
		return step{move: await, until: s.HandoffAt}
	}
	return step{move: finish, ending: Ending{Status: Completed}}
}

// planUnsettled is the promise about visitor messages: sent again only while the turn has shown nothing.
func (s *State) planUnsettled(bot *rules.Bot, last *Turn) step {
	again := step{move: resend, message: last.Message}
	listen := step{move: resume, until: time.Now().Add(bot.ResumeWait)}
	switch {
	case bot.Resend == "always":
		return again
	case bot.Resend == "never", s.shown:
		return listen
	}
	return again
}

// waiting says whether the conversation belongs to a person now: such a turn need not settle, and is never sent again.
func (s *State) waiting(bot *rules.Bot) bool {
	return s.Offered && bot.OnHandoff == "wait"
}

// next returns the next visitor message, if there is one: the prompt's own first, then the replies.
func (s *State) next() (string, bool) {
	i := len(s.Turns)
	if i < len(s.script) {
		return s.script[i], true
	}
	if i -= len(s.script); i < len(s.replies) {
		return s.replies[i].text, true
	}
	return "", false
}

// planned counts the turns that are certain to come if nothing ends the conversation.
func (s *State) planned() int { return len(s.script) + len(s.replies) }
