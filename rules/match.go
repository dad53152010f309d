package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// found is the list of candidates of one event, reused.
var found = sync.Pool{New: func() any { s := make([]int32, 0, 64); return &s }}

// Match puts one event to the rules, in the order of the files, and appends a Decision for each rule that was evaluated
// or suppressed. Rules that the index knows not to hold have none. Backstops are decided after all the others.
//
// The order of the checks of a rule is: mode, bots, when, backstop, once (turn, conversation), the actions are rendered,
// then what needs a claim: cooldown, and last once: visitor. So an action that can't be rendered claims nothing. ctx is
// only for Claims.
func (s *Set) Match(ctx context.Context, o *Occasion, into []Decision) []Decision {
	list := found.Get().(*[]int32)
	defer found.Put(list)
	*list = s.index.find(&o.Facts, (*list)[:0])
	return s.decide(ctx, o, *list, into)
}

// decide decides about the rules at the given positions.
func (s *Set) decide(ctx context.Context, o *Occasion, rules []int32, into []Decision) []Decision {
	if len(rules) == 0 {
		return into
	}
	m := match{ctx: ctx, set: s, o: o, e: begin(&o.Facts)}
	defer m.e.end()
	backstops := false
	for _, i := range rules {
		r := s.rules[i]
		if r.Backstop {
			backstops = true
			continue
		}
		into = append(into, m.decide(r))
	}
	if !backstops {
		return into
	}
	m.backstop = true
	for _, i := range rules {
		if r := s.rules[i]; r.Backstop {
			into = append(into, m.decide(r))
		}
	}
	return into
}

// match is the state of putting one event to the rules.
type match struct {
	ctx      context.Context
	set      *Set
	o        *Occasion
	e        evaluation
	matched  bool // a live rule that is no backstop matched
	backstop bool // the others are done
}

// decide decides about one rule. Whatever goes wrong in it stays in its Decision.
func (m *match) decide(r *Rule) (d Decision) {
	defer func() {
		if p := recover(); p != nil {
			d = Decision{Rule: r.Name, Result: Error, Reason: clip(fmt.Sprintf("the rule failed: %v", p), 300)}
		}
	}()
	d = Decision{Rule: r.Name}
	switch {
	case r.Mode == modeOff:
		d.Result = Off
		return d
	case !r.appliesTo(m.o.Prompt.Bot):
		d.Result = OtherBot
		return d
	}
	holds, err := m.e.holds(r.when)
	switch {
	case err != nil:
		return failed(d, fmt.Errorf("when: %w", err))
	case !holds:
		d.Result = False
		return d
	case m.backstop && m.matched:
		d.Result = Backstop
		return d
	}
	if !m.backstop && r.Mode == modeLive {
		m.matched = true
	}
	return m.fire(r, d)
}

// fire decides about a rule whose condition holds.
func (m *match) fire(r *Rule, d Decision) Decision {
	if r.Mode == modeLive && m.firedBefore(r) {
		d.Result = Once
		return d
	}
	actions, err := m.render(r)
	if err != nil {
		return failed(d, err)
	}
	if r.Mode == modeShadow {
		d.Result, d.Actions = Shadow, actions
		return d
	}
	if suppressed := m.claim(r, &d, actions[0].ID); suppressed {
		return d
	}
	d.Result, d.Actions = Fired, actions
	return d
}

func failed(d Decision, err error) Decision {
	d.Result, d.Reason = Error, clip(err.Error(), 500)
	return d
}

// firedBefore asks what `once` needs to know of this conversation. A visitor for whom a rule fired in this very
// conversation needs no claim to be refused.
func (m *match) firedBefore(r *Rule) bool {
	var before func(string) bool
	switch r.Once {
	case onceTurn:
		before = m.o.FiredInTurn
	case onceConversation, onceVisitor:
		before = m.o.FiredInConversation
	}
	return before != nil && before(r.Name)
}

func (m *match) render(r *Rule) ([]Action, error) {
	actions := make([]Action, len(r.actions))
	for i := range r.actions {
		a, err := r.actions[i].render(r, i, &m.e, m.o, m.set)
		if err != nil {
			return nil, fmt.Errorf("actions[%d].%w", i, err)
		}
		actions[i] = a
	}
	return actions, nil
}

// claim takes what `cooldown` and `once: visitor` need of the memory that all workers share. The cooldown comes first:
// it ends by itself, a visitor's claim doesn't.
func (m *match) claim(r *Rule, d *Decision, holder string) (suppressed bool) {
	if r.Cooldown > 0 {
		key, err := m.cooldownKey(r)
		if err != nil {
			*d = failed(*d, fmt.Errorf("cooldown: %w", err))
			return true
		}
		if m.refused(d, Cooldown, "cooldown/"+r.Name+"/"+key, holder, r) {
			return true
		}
	}
	return r.Once == onceVisitor && m.refused(d, Once, "once/"+r.Name+"/"+m.o.Conversation.VisitorID, holder, r)
}

func (m *match) refused(d *Decision, as Result, key, holder string, r *Rule) bool {
	if m.o.Claims == nil {
		return false
	}
	ttl := r.Cooldown
	if as == Once {
		ttl = 0
	}
	granted, until, err := m.o.Claims.Claim(m.ctx, key, holder, ttl)
	switch {
	case err != nil:
		*d = failed(*d, fmt.Errorf("%s: claim: %w", as, err))
		return true
	case !granted:
		d.Result = as
		if as == Cooldown {
			d.Until = until
		}
		return true
	}
	return false
}

// cooldownKey is what the rule cools down for: the key's value, or the rule as a whole.
func (m *match) cooldownKey(r *Rule) (string, error) {
	if r.cooldownKey == nil {
		return "", nil
	}
	return m.e.key(r.cooldownKey, r.CooldownKey)
}

// key evaluates x, which source says, to text that tells things apart: it can't be empty.
func (e *evaluation) key(x *expression, source string) (string, error) {
	v, err := e.run(x)
	if err != nil {
		return "", err
	}
	s, err := toText(v)
	if err == nil && s == "" {
		err = errors.New("the value is empty")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", clip(source, 100), err)
	}
	return s, nil
}
