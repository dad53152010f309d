package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"dgworker/rules"
)

// Example is one firing that differs.
type Example struct {
	Rule    string          `json:"rule"`
	Kind    string          `json:"kind"`    // new, gone or changed
	Outcome string          `json:"outcome"` // id of the prompt
	Event   rules.EventType `json:"event"`
	N       int             `json:"n"`
	At      rules.Time      `json:"at"`
	About   string          `json:"about,omitempty"`
	What    []string        `json:"what"` // the actions, or what of them changed
	Why     []string        `json:"why,omitempty"`

	row  int
	kind kind
}

// comparison is one event before both sides.
type comparison struct {
	*duel
	o        *Outcome
	e        *Event
	event    rules.Event
	made     [sides][]rules.Decision
	diverged bool
}

// note counts a difference, and keeps it as an example as long as some are wanted.
func (c *comparison) note(k kind, rule string, was, is *rules.Decision) {
	i := c.names[rule]
	counts := &c.tally.row(i).diff
	if c.diverged {
		counts = &c.tally.row(i).diverged
	}
	counts[k]++
	if c.diverged || !c.wanted(i, k) {
		return
	}
	x := Example{
		Rule: rule, Kind: kindNames[k], Outcome: c.o.ID, Event: c.e.Type, N: c.e.N,
		At: rules.Time{Time: c.e.At}, About: about(c.event, c.response()), row: i, kind: k,
	}
	switch k {
	case isNew:
		x.What, x.Why = actionTexts(is.Actions), c.why(baseline, rule, was)
	case isGone:
		x.What, x.Why = actionTexts(was.Actions), c.why(candidate, rule, is)
	default:
		x.What = changes(was.Actions, is.Actions)
	}
	c.tally.examples = append(c.tally.examples, x)
}

func (c *comparison) response() string {
	for i := range c.o.Turns {
		t := &c.o.Turns[i]
		if len(t.Events) > 0 && t.Events[len(t.Events)-1].N >= c.e.N {
			return t.Response
		}
	}
	return ""
}

func actionTexts(list []rules.Action) []string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = actionText(a)
	}
	return texts
}

// why says why a rule did not fire on one side.
func (c *comparison) why(s int, rule string, d *rules.Decision) []string {
	side := [sides]string{"baseline", "candidate"}[s]
	result, decision := rules.Result(""), rules.Decision{}
	if d != nil {
		result, decision = d.Result, *d
	}
	if c.duel.why[s] == nil {
		c.duel.why[s] = rules.NewExplainer(c.sets[s])
	}
	account, there := c.duel.why[s].Why(c.players[s].session, c.event, rule, result)
	if !there {
		return []string{side + ": has no such rule"}
	}
	decision.Rule, decision.Result = rule, account.Result
	x := ExplainedRule{Result: account.Result, Why: why(account.On, decision), When: account.On.When, Clauses: explainedClauses(account.Clauses)}
	lines := x.lines()
	if account.Result == rules.OtherEvent {
		lines = []string{"not on this type"}
	}
	if len(lines) == 0 {
		return []string{fmt.Sprintf("%s: %s", side, account.Result)}
	}
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%s: %s: %s", side, account.Result, line)
	}
	return lines
}

// changes says what differs between the actions of two firings.
func changes(was, is []rules.Action) []string {
	var all []string
	for i := range max(len(was), len(is)) {
		switch {
		case i >= len(is):
			all = append(all, "no longer: "+actionText(was[i]))
		case i >= len(was):
			all = append(all, "added: "+actionText(is[i]))
		case !equal(was[i:i+1], is[i:i+1]):
			d := &differ{left: "was", right: "is"}
			d.actions(&was[i], &is[i])
			text := actionText(is[i])
			for _, line := range d.lines {
				all = append(all, text+": "+line)
			}
		}
	}
	return all
}

// actions compares all of two actions.
func (d *differ) actions(a, b *rules.Action) {
	text := func(name, a, b string) {
		if a != b {
			d.add(name, strconv.Quote(a), strconv.Quote(b))
		}
	}
	text("action", string(a.Kind), string(b.Kind))
	text("endpoint", a.Endpoint, b.Endpoint)
	text("method", a.Method, b.Method)
	text("path", a.Path, b.Path)
	text("query", a.Query, b.Query)
	text("subject", a.Subject, b.Subject)
	text("text", a.Text, b.Text)
	names := slices.Collect(maps.Keys(a.Headers))
	for name := range b.Headers {
		if _, both := a.Headers[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		text("headers."+name, a.Headers[name], b.Headers[name])
	}
	if string(a.Body) == string(b.Body) {
		return
	}
	before := len(d.lines)
	if was, err := asJSON(a.Body); err == nil {
		d.body("body", was, b.Body, false)
	}
	if len(d.lines) == before { // not JSON, or the same JSON written otherwise
		text("body", strings.ToValidUTF8(string(a.Body), ""), strings.ToValidUTF8(string(b.Body), ""))
	}
}
