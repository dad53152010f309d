package ruletest

import (
	"context"
	"slices"

	"dgworker/rules"
)

// player puts one conversation to one set, as the worker does: through rules.Session, and with the worker's limit on
// replies.
type player struct {
	set     *rules.Set
	session *rules.Session
	explain *rules.Explainer // nil if nobody asks why
	room    int              // visitor messages that the bot's max_turns leaves
	ends    bool             // a handoff ends the conversation
	offered bool
	replies []rules.Action // of the turn
	planned []string       // the replies of the turns before it, as they are to be said
}

// newPlayer begins a conversation whose prompt has script messages of its own.
func newPlayer(set *rules.Set, p rules.Prompt, visitor string, script int) *player {
	turns, ends := 10, true // the defaults, for a bot that these rules don't know
	if b, ok := set.Bot(p.Bot); ok {
		turns, ends = b.MaxTurns, b.OnHandoff == "end"
	}
	return &player{set: set, session: rules.NewSession(p, visitor), room: turns - script, ends: ends}
}

// begin begins a turn.
func (p *player) begin(index int, message string) {
	p.planned = append(p.planned, p.said()...)
	p.replies = p.replies[:0]
	p.session.BeginTurn(index, message)
}

// put puts one event to the rules. Accounts are nil without an explainer. What it returns is valid until the next call.
func (p *player) put(ctx context.Context, claims rules.Claims, e rules.Event, r *rules.Response) (ds []rules.Decision, accounts []rules.Account) {
	if p.explain != nil {
		ds, accounts = p.explain.Put(ctx, p.session, claims, e, r)
	} else {
		_, ds = p.session.Put(ctx, p.set, claims, e, r)
	}
	if e.Type == rules.HandoffOffered {
		p.offered = true
	}
	return p.limitReplies(ds), accounts
}

// limitReplies takes back the replies that the worker would not send: those beyond max_turns, and those after a handoff
// that ends the conversation.
func (p *player) limitReplies(ds []rules.Decision) []rules.Decision {
	for i := range ds {
		d := &ds[i]
		if d.Result != rules.Fired || !slices.ContainsFunc(d.Actions, isReply) {
			continue
		}
		why := ""
		kept := slices.DeleteFunc(slices.Clone(d.Actions), func(a rules.Action) bool {
			if !isReply(a) {
				return false
			}
			if reason := p.refuse(); reason != "" {
				why = reason
				return true
			}
			p.room--
			p.replies = append(p.replies, a)
			return false
		})
		switch d.Actions = kept; {
		case why == "":
		case len(kept) == 0:
			d.Result, d.Reason = rules.TurnLimit, why
		default:
			ds = append(ds, rules.Decision{Rule: d.Rule, Result: rules.TurnLimit, Reason: why})
		}
	}
	return ds
}

// said are the texts of the turn's replies, in the order in which they are sent: that of their rules.
func (p *player) said() []string {
	if len(p.replies) > 1 {
		rank := map[string]int{}
		for i, r := range p.set.Rules() {
			rank[r.Name] = i
		}
		slices.SortStableFunc(p.replies, func(a, b rules.Action) int { return rank[a.Rule] - rank[b.Rule] })
	}
	texts := make([]string, len(p.replies))
	for i, r := range p.replies {
		texts[i] = r.Text
	}
	return texts
}

// next is what the index-th turn after the prompt's own messages would say; false if the conversation would be over.
func (p *player) next(index int) (string, bool) {
	if index < len(p.planned) {
		return p.planned[index], true
	}
	if index -= len(p.planned); index < len(p.replies) {
		return p.said()[index], true
	}
	return "", false
}

func (p *player) refuse() string {
	switch {
	case p.offered && p.ends:
		return "a person was offered, which ends the conversation"
	case p.room <= 0:
		return "the conversation has no turn left (max_turns)"
	}
	return ""
}

func isReply(a rules.Action) bool { return a.Kind == rules.KindReply }
