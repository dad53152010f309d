package rules

import (
	"context"
)

// OtherEvent is what an Account says of a rule whose `on` doesn't have the event's type. No Decision has it: such a rule
// is never looked at.
const OtherEvent Result = "other_event"

// Account is why one rule did what it did with an event. Its Decision is as Put gives it; for a rule that the index left
// out, it says False, Off, OtherBot or OtherEvent.
type Account struct {
	Decision
	On      *Rule    // the rule itself
	Clauses []Clause // of its `when`, if that was asked; a rule without one has none
}

// Explainer accounts for the decisions of one set. It is not safe for concurrent use.
type Explainer struct {
	set   *Set
	parts map[*Rule]*clauses
}

// NewExplainer returns the explainer of set.
func NewExplainer(set *Set) *Explainer { return &Explainer{set, map[*Rule]*clauses{}} }

// Put puts an event to the rules through s, as Session.Put does, and accounts for every rule of the set, in the order of
// the file.
func (x *Explainer) Put(ctx context.Context, s *Session, claims Claims, e Event, r *Response) ([]Decision, []Account) {
	_, decisions := s.Put(ctx, x.set, claims, e, r)
	made := make(map[string]Decision, len(decisions))
	for _, d := range decisions {
		made[d.Rule] = d
	}
	facts := s.facts(e)
	eval := begin(&facts)
	defer eval.end()
	accounts := make([]Account, len(x.set.rules))
	for i, rule := range x.set.rules {
		d, decided := made[rule.Name]
		if !decided {
			d = Decision{Rule: rule.Name, Result: unasked(rule, &facts)}
		}
		accounts[i] = Account{Decision: d, On: rule, Clauses: x.clauses(rule, d.Result, &eval)}
	}
	return decisions, accounts
}

// unasked says why the index left a rule out. It leaves none out for being off: decide says that.
func unasked(r *Rule, f *Facts) Result {
	switch {
	case !r.listensTo(f.Event.Type):
		return OtherEvent
	case !r.appliesTo(f.Prompt.Bot):
		return OtherBot
	}
	return False
}

func (r *Rule) listensTo(t EventType) bool {
	for _, on := range r.On {
		if on == t {
			return true
		}
	}
	return false
}

// Why accounts for one rule and the event that was put to s last: result is what was decided, or "" where nothing was.
func (x *Explainer) Why(s *Session, e Event, rule string, result Result) (Account, bool) {
	for _, r := range x.set.rules {
		if r.Name != rule {
			continue
		}
		facts := s.facts(e)
		eval := begin(&facts)
		defer eval.end()
		if result == "" {
			result = unasked(r, &facts)
		}
		return Account{Decision: Decision{Rule: rule, Result: result}, On: r, Clauses: x.clauses(r, result, &eval)}, true
	}
	return Account{}, false
}

func (x *Explainer) clauses(r *Rule, result Result, e *evaluation) []Clause {
	if r.when == nil || result == Off || result == OtherBot || result == OtherEvent {
		return nil
	}
	parts := x.parts[r]
	if parts == nil {
		parts = takeApart(r)
		x.parts[r] = parts
	}
	var all []*Clause
	if whole := parts.evaluate(e, &all); result == False && whole.verdict != isTrue {
		whole.blame()
	}
	list := make([]Clause, len(all))
	for i, c := range all {
		list[i] = *c
	}
	return list
}

// DidYouMean is the hint for a name that is not among known: `did you mean "…"?` where one is near, the known names where
// they are few, or "". Files that go with rules files (fixtures, say) use it to speak with the same voice.
func DidYouMean(name string, known []string) string { return didYouMean(name, known) }
