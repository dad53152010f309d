package ruletest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dgworker/rules"
)

// Explanation is why every rule did or did not act on every event of one outcome. Its JSON is what `rules explain --json`
// prints.
type Explanation struct {
	ID           string           `json:"id"`
	Bot          string           `json:"bot"`
	VisitorID    string           `json:"visitor_id,omitempty"`
	Status       string           `json:"status"`
	RulesVersion string           `json:"rules_version"` // that the outcome names
	UsedVersion  string           `json:"used_version"`  // that the explanation is of
	Notes        []string         `json:"notes,omitempty"`
	Events       []ExplainedEvent `json:"events"`
}

// ExplainedEvent is one event with an entry for each rule, in the order of the rules file.
type ExplainedEvent struct {
	Turn  int             `json:"turn"` // from 1; 0 is before the first
	N     int             `json:"n"`
	Type  rules.EventType `json:"type"`
	At    rules.Time      `json:"at"`
	About string          `json:"about,omitempty"` // what tells it from others of its type, in a few words
	Rules []ExplainedRule `json:"rules"`
}

// ExplainedRule is what one rule did with one event.
type ExplainedRule struct {
	Rule     string            `json:"rule"`
	Result   rules.Result      `json:"result"`
	Why      string            `json:"why,omitempty"` // in words; a false rule's clauses say it better
	Until    rules.Time        `json:"until,omitzero"`
	Actions  []rules.Action    `json:"actions,omitempty"`
	When     string            `json:"when,omitempty"`
	Clauses  []ExplainedClause `json:"clauses,omitempty"`
	Recorded rules.Result      `json:"recorded,omitempty"` // what the outcome says, where that is something else
}

// ExplainedClause is a part of `when`.
type ExplainedClause struct {
	Clause   string `json:"clause"`
	Result   *bool  `json:"result"` // null if it could not be evaluated
	Error    string `json:"error,omitempty"`
	Decisive bool   `json:"decisive,omitempty"` // it is (one of) what made `when` false
	Saw      values `json:"saw,omitempty"`
}

// Explain puts the events of o to the rules of set and accounts for every rule. Claims of `once: visitor` and `cooldown`
// stand as they are recorded. If these are the rules that decided then, what is recorded outranks what is found now.
func Explain(ctx context.Context, set *rules.Set, o *Outcome) (*Explanation, error) {
	e := &explanation{
		Explanation: Explanation{ID: o.ID, Bot: o.Bot, VisitorID: o.VisitorID, Status: o.Status, RulesVersion: o.RulesVersion,
			UsedVersion: set.Version(), Events: []ExplainedEvent{}},
		same:   set.Version() == o.RulesVersion && len(o.Versions) <= 1,
		player: newPlayer(set, o.prompt(), o.VisitorID, o.script()),
	}
	e.player.explain = rules.NewExplainer(set)
	e.note(o)
	if err := e.events(ctx, 0, &Turn{Events: o.Events}); err != nil {
		return nil, err
	}
	for i := range o.Turns {
		e.player.begin(i, o.Turns[i].Message)
		if err := e.events(ctx, i+1, &o.Turns[i]); err != nil {
			return nil, err
		}
	}
	return &e.Explanation, nil
}

type explanation struct {
	Explanation
	same   bool // the rules are those that decided
	player *player
}

func (e *explanation) note(o *Outcome) {
	switch {
	case len(o.Versions) > 1:
		e.Notes = append(e.Notes, "several versions of the rules decided, since a worker took over from another: "+strings.Join(o.Versions, ", "))
	case !e.same && o.RulesVersion != "":
		e.Notes = append(e.Notes, fmt.Sprintf("these rules (version %s) are not those that decided (version %s)", e.UsedVersion, e.RulesVersion))
	}
	if o.Truncated {
		e.Notes = append(e.Notes, "the outcome is truncated: rules saw more than is recorded")
	}
	if len(o.Turns) == 0 && len(o.Events) == 0 {
		e.Notes = append(e.Notes, "no event was put to the rules: "+firstOf(o.Reason, "the outcome records none"))
	}
}

func (e *explanation) events(ctx context.Context, turn int, t *Turn) error {
	for i := range t.Events {
		ev := &t.Events[i]
		recorded, err := ev.decisions()
		if err != nil {
			return err
		}
		decisions, accounts := e.player.put(ctx, asRecorded(recorded), ev.event(), t.response(ev))
		x := ExplainedEvent{Turn: turn, N: ev.N, Type: ev.Type, At: rules.Time{Time: ev.At}, About: about(ev.event(), t.Response)}
		for _, a := range accounts {
			a.Decision = limited(a.Decision, decisions)
			x.Rules = append(x.Rules, e.rule(a, recorded))
		}
		e.Events = append(e.Events, x)
	}
	return nil
}

// limited is d as the limit on replies left it.
func limited(d rules.Decision, decisions []rules.Decision) rules.Decision {
	i := slices.IndexFunc(decisions, func(o rules.Decision) bool { return o.Rule == d.Rule })
	if i < 0 {
		return d
	}
	return decisions[i]
}

func (e *explanation) rule(a rules.Account, recorded []rules.Decision) ExplainedRule {
	d := a.Decision
	x := ExplainedRule{Rule: a.On.Name, When: a.On.When, Clauses: explainedClauses(a.Clauses)}
	i := slices.IndexFunc(recorded, func(o rules.Decision) bool { return o.Rule == x.Rule })
	switch was := i >= 0; {
	case was && recorded[i].Result == d.Result:
		d = recorded[i]
	case was && e.same:
		d, x.Clauses = recorded[i], nil // what made it false now was not so then
	case was:
		x.Recorded = recorded[i].Result
	case e.same && (d.Result == rules.Fired || d.Result == rules.Shadow || d.Result == rules.Error):
		x.Recorded = rules.False // the record is no longer what the rules saw
	}
	x.Result, x.Until, x.Actions = d.Result, rules.Time{Time: d.Until}, d.Actions
	x.Why = why(a.On, d)
	return x
}

func explainedClauses(list []rules.Clause) []ExplainedClause {
	all := make([]ExplainedClause, len(list))
	for i, c := range list {
		all[i] = ExplainedClause{Clause: c.Text, Error: c.Error, Decisive: c.Decisive, Saw: c.Saw}
		if c.Error == "" {
			holds := c.Holds
			all[i].Result = &holds
		}
	}
	return all
}

// why says in words what a result means for this rule; "" where the result says it all.
func why(r *rules.Rule, d rules.Decision) string {
	switch d.Result {
	case rules.Once:
		switch r.Once {
		case "turn", "conversation":
			return "fired before in this " + r.Once + " (once: " + r.Once + ")"
		}
		return "fired before for this visitor (once: visitor)"
	case rules.Cooldown:
		if d.Until.IsZero() {
			return "cooling down"
		}
		return "until " + d.Until.UTC().Format(rules.TimeFormat)
	case rules.Off:
		return "mode: off"
	case rules.OtherBot:
		return "only for " + strings.Join(r.Bots, ", ")
	case rules.Backstop:
		return "another live rule matched the event"
	}
	return d.Reason
}

// about says in a few words what an event is about.
func about(e rules.Event, response string) string {
	switch e.Type {
	case rules.ToolAction, rules.ToolActionResult:
		return e.Tool + ": " + e.Status
	case rules.HandoffOffered:
		return quoted(e.Message)
	case rules.AgentJoined:
		return e.AgentName
	case rules.AgentMessage:
		return e.AgentName + ": " + quoted(e.Content)
	case rules.FinalResponse:
		return quoted(response)
	case rules.ConversationEnded:
		return strings.TrimSuffix(e.Status+": "+e.Message, ": ")
	}
	return ""
}

// asRecorded are claims that stand as decisions recorded them: what was refused then is refused now, all else granted.
type asRecorded []rules.Decision

// Claim implements rules.Claims.
func (c asRecorded) Claim(_ context.Context, key, _ string, _ time.Duration) (bool, time.Time, error) {
	kind, rule := claimOf(key)
	for _, d := range c {
		if d.Rule != rule {
			continue
		}
		if string(d.Result) == kind {
			return false, d.Until, nil
		}
		if cause, failed := strings.CutPrefix(d.Reason, kind+": claim: "); failed && d.Result == rules.Error {
			return false, time.Time{}, errors.New(cause)
		}
	}
	return true, time.Time{}, nil
}

// values are the values that a clause saw, written as a JSON object.
type values []rules.Saw

// MarshalJSON writes {"event.status": "error", …} in the order of the clause.
func (v values) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, s := range v {
		name, err := json.Marshal(s.Name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), s.Value...)
	}
	return append(out, '}'), nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Only leaves one rule of the explanation, and the events that it listens to.
func (x *Explanation) Only(rule string) {
	for i := range x.Events {
		e := &x.Events[i]
		e.Rules = slices.DeleteFunc(e.Rules, func(r ExplainedRule) bool { return r.Rule != rule })
	}
	x.Events = slices.DeleteFunc(x.Events, func(e ExplainedEvent) bool {
		return len(e.Rules) == 0 || e.Rules[0].Result == rules.OtherEvent && e.Rules[0].Recorded == ""
	})
}
