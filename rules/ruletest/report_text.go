package ruletest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Write prints the report for people: a line for each rule that has something to say, then the examples.
func (r *Report) Write(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%d outcomes, %d events: %d fires are new, %d gone, %d changed\n", r.Outcomes, r.Events, r.New, r.Gone, r.Changed)
	if r.DivergedOutcomes > 0 {
		fmt.Fprintf(b, "%d outcomes diverge after a changed reply; what follows it is hypothetical and not counted: %d new, %d gone, %d changed\n",
			r.DivergedOutcomes, r.Diverged.New, r.Diverged.Gone, r.Diverged.Changed)
	}
	r.table(b)
	r.notes(b)
	for _, rule := range r.Rules {
		for _, x := range rule.Examples {
			x.write(b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) table(b *strings.Builder) {
	width := len("rule")
	for _, rule := range r.Rules {
		width = max(width, len(rule.Rule))
	}
	fmt.Fprintf(b, "\n%-*s %9s %9s %6s %6s %7s %8s\n", width, "rule", "baseline", "candidate", "new", "gone", "changed", "diverged")
	for _, rule := range r.Rules {
		d := rule.Diverged
		fmt.Fprintf(b, "%-*s %9s %9s %6d %6d %7d %8d\n", width, rule.Rule, fires(rule.Baseline), fires(rule.Candidate),
			rule.New, rule.Gone, rule.Changed, d.New+d.Gone+d.Changed)
	}
}

func fires(s *SideReport) string {
	if s == nil {
		return "-"
	}
	if s.Mode == "shadow" {
		return strconv.Itoa(s.Matched) + " shadow"
	}
	return strconv.Itoa(s.Fired)
}

// notes name the rules of the candidate that look like a mistake.
func (r *Report) notes(b *strings.Builder) {
	var unasked, nothing, everything, failed []string
	for _, rule := range r.Rules {
		c := rule.Candidate
		switch {
		case c == nil || c.Mode == "off":
		case c.Seen == 0:
			unasked = append(unasked, rule.Rule)
		case c.Nothing():
			nothing = append(nothing, fmt.Sprintf("%s (%d events)", rule.Rule, c.Seen))
		case c.Everything():
			everything = append(everything, fmt.Sprintf("%s (%d events)", rule.Rule, c.Seen))
		}
		if c != nil && c.Errors > 0 {
			before := 0
			if rule.Baseline != nil {
				before = rule.Baseline.Errors
			}
			failed = append(failed, fmt.Sprintf("%s (%d, before %d)", rule.Rule, c.Errors, before))
		}
	}
	for _, n := range []struct {
		what string
		of   []string
	}{
		{"matched nothing", nothing}, {"matched everything", everything}, {"had no event of its types", unasked}, {"failed", failed},
	} {
		if len(n.of) > 0 {
			fmt.Fprintf(b, "\n%s: %s", n.what, strings.Join(n.of, ", "))
		}
	}
	b.WriteString("\n")
}

func (x *Example) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%-8s %s: prompt %s, event %d %s", x.Kind, x.Rule, x.Outcome, x.N, x.Event)
	if x.About != "" {
		fmt.Fprintf(b, " (%s)", x.About)
	}
	b.WriteString("\n")
	for _, line := range append(x.What, x.Why...) {
		b.WriteString(indent(line) + "\n")
	}
}
