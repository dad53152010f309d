package rules

import "time"

// Rule is one entry of `rules`, compiled. It is immutable.
type Rule struct {
	Name        string
	Description string
	On          []EventType // at least one, each once
	When        string      // source of the condition; "" holds always
	Bots        []string    // only for these; empty is all
	Once        string      // "", "turn", "conversation" or "visitor"
	Cooldown    time.Duration
	CooldownKey string // source of the expression; "" is one cooldown for the rule
	Backstop    bool   // fires only where no other live rule, backstops aside, matched the event
	Mode        string // "live" (default), "shadow" or "off"
	File        string // where it stands
	Line        int

	when        *expression // nil holds always
	cooldownKey *expression // nil is one cooldown for the rule
	actions     []action
}

// Kinds lists the kinds of the rule's actions, in their order.
func (r *Rule) Kinds() []Kind {
	kinds := make([]Kind, len(r.actions))
	for i := range r.actions {
		kinds[i] = r.actions[i].kind
	}
	return kinds
}

// The values of once and of mode.
const (
	onceTurn         = "turn"
	onceConversation = "conversation"
	onceVisitor      = "visitor"

	modeLive   = "live"
	modeShadow = "shadow"
	modeOff    = "off"
)

// appliesTo reports whether the rule's `bots` has bot, or has none.
func (r *Rule) appliesTo(bot string) bool {
	if len(r.Bots) == 0 {
		return true
	}
	for _, b := range r.Bots {
		if b == bot {
			return true
		}
	}
	return false
}
