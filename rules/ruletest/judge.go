package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"dgworker/rules"
)

// happened is what the rules did in one conversation.
type happened struct {
	fired, shadow, suppressed, errors []got
	accounts                          []accounted // of every event, to say why something did not happen
}

type accounted struct {
	event rules.Event
	n     int
	of    []rules.Account
}

func (h *happened) note(e rules.Event, n int, ds []rules.Decision) {
	for _, d := range ds {
		switch d.Result {
		case rules.Fired:
			h.fired = append(h.fired, each(e, n, d)...)
		case rules.Shadow:
			h.shadow = append(h.shadow, each(e, n, d)...)
		case rules.Error:
			h.errors = append(h.errors, got{event: e, n: n, decision: d})
		case rules.Once, rules.Cooldown, rules.TurnLimit:
			h.suppressed = append(h.suppressed, got{event: e, n: n, decision: d})
		}
	}
}

func each(e rules.Event, n int, d rules.Decision) []got {
	all := make([]got, len(d.Actions))
	for i := range d.Actions {
		all[i] = got{e, n, d, &d.Actions[i]}
	}
	return all
}

// judge says what was not as expected, a few lines each.
func (h *happened) judge(x *expectation) []string {
	failures := h.judgeActions("fired", x.fired, h.fired)
	if x.shadow != nil {
		failures = append(failures, h.judgeActions("shadow", x.shadow, h.shadow)...)
	}
	if x.suppressed != nil {
		failures = append(failures, h.judgeList("suppressed", x.suppressed, h.suppressed)...)
	}
	return append(failures, h.judgeList("errors", x.errors, h.errors)...)
}

// judgeActions compares actions. Entries about one action take theirs first, then those about a rule as a whole take
// all that it did on one event.
func (h *happened) judgeActions(list string, wants []want, gots []got) []string {
	var single, whole []want
	for _, w := range wants {
		if w.one {
			single = append(single, w)
		} else {
			whole = append(whole, w)
		}
	}
	missing, left := match(single, gots)
	var firsts []got // of each event of each rule of which no action is taken yet
	for _, g := range left {
		same := func(o got) bool { return o.n == g.n && o.decision.Rule == g.decision.Rule }
		if !slices.ContainsFunc(firsts, same) && len(g.decision.Actions) == countFunc(left, same) {
			firsts = append(firsts, g)
		}
	}
	missingWhole, unused := match(whole, firsts)
	for _, f := range firsts {
		same := func(o got) bool { return o.n == f.n && o.decision.Rule == f.decision.Rule }
		if !slices.ContainsFunc(unused, same) {
			left = slices.DeleteFunc(left, same)
		}
	}
	return h.report(list, append(missing, missingWhole...), left)
}

func (h *happened) judgeList(list string, wants []want, gots []got) []string {
	missing, left := match(wants, gots)
	return h.report(list, missing, left)
}

func countFunc(list []got, is func(got) bool) int {
	n := 0
	for _, g := range list {
		if is(g) {
			n++
		}
	}
	return n
}

// match returns the wants for which there is nothing, and what nobody wanted.
func match(wants []want, gots []got) (missing []want, left []got) {
	pairs := pair(len(wants), len(gots), func(i, j int) bool {
		return wants[i].rule == gots[j].decision.Rule && len(wants[i].differences(&gots[j])) == 0
	})
	for i, j := range pairs {
		if j < 0 {
			missing = append(missing, wants[i])
		}
	}
	for j, g := range gots {
		if !slices.Contains(pairs, j) {
			left = append(left, g)
		}
	}
	return missing, left
}

// report puts what is missing beside what came instead of it.
func (h *happened) report(list string, missing []want, left []got) []string {
	var out []string
	for _, w := range missing {
		j := nearest(w, left)
		if j < 0 {
			out = append(out, h.absent(list, w))
			continue
		}
		lines := w.differences(&left[j])
		if len(lines) == 0 {
			lines = []string{"another action of it on this event was expected by an entry of its own: list all of them"}
		}
		out = append(out, fmt.Sprintf("%s %s, and not as expected (%s):\n%s", list, w.rule, at(left[j].event, left[j].n), indent(strings.Join(lines, "\n"))))
		left = slices.Delete(left, j, j+1)
	}
	for _, g := range left {
		out = append(out, fmt.Sprintf("%s, and not expected: %s (%s)%s", list, g.decision.Rule, at(g.event, g.n), detail(g)))
	}
	return out
}

// nearest is the one of the same rule with the fewest differences.
func nearest(w want, left []got) int {
	best, fewest := -1, 0
	for j := range left {
		if left[j].decision.Rule != w.rule {
			continue
		}
		if n := len(w.differences(&left[j])); best < 0 || n < fewest {
			best, fewest = j, n
		}
	}
	return best
}

// absent says that nothing came, and what became of the rule instead, event by event.
func (h *happened) absent(list string, w want) string {
	var lines []string
	for _, ev := range h.accounts {
		for _, a := range ev.of {
			if a.On.Name != w.rule || a.Result == rules.OtherEvent {
				continue
			}
			x := ExplainedRule{Result: a.Result, Why: why(a.On, a.Decision), Actions: a.Actions, When: a.On.When, Clauses: explainedClauses(a.Clauses)}
			for _, line := range x.lines() {
				lines = append(lines, fmt.Sprintf("%s: %s: %s", at(ev.event, ev.n), a.Result, line))
			}
		}
	}
	if len(lines) == 0 {
		lines = []string{"no event of a type that the rule is on"}
	}
	if most := 8; len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("… and %d more", len(lines)-most))
	}
	return fmt.Sprintf("expected, and not there: %s %s%s\n%s", list, w.rule, w.place(), indent(strings.Join(lines, "\n")))
}

// place says which event an entry is about, if it does.
func (w *want) place() string {
	switch {
	case w.n > 0:
		return fmt.Sprintf(" on event %d", w.n)
	case w.event != "":
		return fmt.Sprintf(" on %s", w.event)
	}
	return ""
}

func at(e rules.Event, n int) string { return fmt.Sprintf("event %d, %s", n, e.Type) }

// detail says what a rule did that nobody expected.
func detail(g got) string {
	if g.action == nil {
		return ": " + firstOf(g.decision.Reason, string(g.decision.Result))
	}
	text := "\n    " + actionText(*g.action)
	if len(g.action.Body) > 0 {
		body := string(g.action.Body)
		if len(body) > 300 {
			body = strings.ToValidUTF8(body[:300], "") + "…"
		}
		text += "\n    body " + body
	}
	return text
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }
