package ruletest

import (
	"cmp"
	"slices"

	"dgworker/rules"
)

// Report is what a backtest found. Its JSON is what `rules backtest --json` prints.
type Report struct {
	Outcomes  int    `json:"outcomes"`
	Events    int    `json:"events"`
	Baseline  string `json:"baseline"` // version
	Candidate string `json:"candidate"`
	Counts
	Diverged         Counts       `json:"diverged"`          // the same of what follows a changed reply: hypothetical, so not counted above
	DivergedOutcomes int          `json:"diverged_outcomes"` // that have such a part
	Rules            []RuleReport `json:"rules"`             // in the order of the candidate, then those that only the baseline has
}

// Counts are firings of rules: one rule on one event.
type Counts struct {
	New     int `json:"new"`
	Gone    int `json:"gone"`
	Changed int `json:"changed"` // fired on both sides, and asked for something else
}

func (c *Counts) add(n [kinds]int) {
	c.New, c.Gone, c.Changed = c.New+n[isNew], c.Gone+n[isGone], c.Changed+n[isChanged]
}

// RuleReport is one rule of either side.
type RuleReport struct {
	Rule      string      `json:"rule"`
	Baseline  *SideReport `json:"baseline"` // null if this side has no such rule
	Candidate *SideReport `json:"candidate"`
	Counts
	Diverged Counts    `json:"diverged"`
	Examples []Example `json:"examples,omitempty"`
}

// SideReport is what a rule did on one side.
type SideReport struct {
	Seen    int    `json:"seen"`    // events of its types, for its bots
	Matched int    `json:"matched"` // its condition held, whatever once, cooldown or mode made of it
	Fired   int    `json:"fired"`
	Errors  int    `json:"errors"`
	Mode    string `json:"mode"`
}

// Nothing says whether the rule was asked and never matched.
func (s *SideReport) Nothing() bool {
	return s != nil && s.Mode != "off" && s.Seen > 0 && s.Matched == 0
}

// Everything says whether the rule matched whatever it was asked about.
func (s *SideReport) Everything() bool { return s != nil && s.Seen > 0 && s.Matched == s.Seen }

func (m *merger) report() *Report {
	r := &Report{
		Outcomes: m.all.outcomes, Events: m.all.events, DivergedOutcomes: m.all.diverged,
		Baseline: m.Baseline.Version(), Candidate: m.Candidate.Version(),
	}
	of := [sides]map[string]*rules.Rule{byName(m.Baseline), byName(m.Candidate)}
	for i, name := range m.rows {
		row := &m.all.rows[i]
		report := RuleReport{Rule: name}
		report.Baseline = m.side(of[baseline][name], row.side[baseline])
		report.Candidate = m.side(of[candidate][name], row.side[candidate])
		report.add(row.diff)
		report.Diverged.add(row.diverged)
		r.add(row.diff)
		r.Diverged.add(row.diverged)
		for _, x := range m.all.examples {
			if x.row == i {
				report.Examples = append(report.Examples, x)
			}
		}
		slices.SortStableFunc(report.Examples, func(a, b Example) int { return cmp.Compare(a.kind, b.kind) })
		r.Rules = append(r.Rules, report)
	}
	return r
}

func byName(set *rules.Set) map[string]*rules.Rule {
	all := map[string]*rules.Rule{}
	for _, r := range set.Rules() {
		all[r.Name] = r
	}
	return all
}

func (m *merger) side(r *rules.Rule, c sideCount) *SideReport {
	if r == nil {
		return nil
	}
	s := &SideReport{Matched: c.matched, Fired: c.fired, Errors: c.errors, Mode: r.Mode}
	for at, n := range m.all.seen {
		if slices.Contains(r.On, at.of) && (len(r.Bots) == 0 || slices.Contains(r.Bots, at.bot)) {
			s.Seen += n
		}
	}
	return s
}
