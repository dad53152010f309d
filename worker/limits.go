package worker

import (
	"time"

	"dgworker/rules"
)

// limitReplies takes back the replies that can't be sent any more, and records why.
func (c *conversation) limitReplies(seen *rules.Seen) {
	room := c.bot.MaxTurns - c.state.planned()
	for i := range seen.Decisions {
		d := &seen.Decisions[i]
		if d.Result != rules.Fired {
			continue
		}
		kept := d.Actions[:0:0]
		why := ""
		for _, a := range d.Actions {
			switch {
			case a.Kind != rules.KindReply:
			case c.state.Offered && c.bot.OnHandoff == "end":
				why = "a person was offered, which ends the conversation"
				continue
			case room <= 0:
				why = "the conversation has no turn left (max_turns)"
				continue
			default:
				room--
			}
			kept = append(kept, a)
		}
		d.Actions = kept
		switch {
		case why == "":
		case len(kept) == 0:
			d.Result, d.Reason = rules.TurnLimit, why
		default: // what else the rule asks for goes on
			seen.Decisions = append(seen.Decisions, rules.Decision{Rule: d.Rule, Result: rules.TurnLimit, Reason: why})
		}
	}
}

// armLimit sets the time at which patience ends: of the turn, unless a person has the conversation, or of the whole.
func (c *conversation) armLimit() {
	at := c.overAt
	if t := time.Now().Add(c.bot.TurnTimeout); t.Before(at) && !c.state.waiting(c.bot) && !c.turn.awaiting {
		at = t
	}
	c.limit.arm(at, c.onLimit)
}

func (c *conversation) onLimit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil || !c.limit.due() {
		return
	}
	switch now := time.Now(); {
	case !c.p.Deadline.IsZero() && !now.Before(c.p.Deadline):
		c.endLocked(failed("the prompt's deadline passed while the conversation went on"))
	case !now.Before(c.overAt) && c.state.waiting(c.bot):
		c.endLocked(&stop{ending: &Ending{Status: Handoff}})
	case !now.Before(c.overAt):
		c.endLocked(failed("the conversation took more than %s (conversation_timeout)", c.bot.ConversationTimeout))
	default:
		c.endLocked(failed("the turn took more than %s (turn_timeout)", c.bot.TurnTimeout))
	}
}
