package ruletest

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"dgworker/rules"
)

// Write prints the explanation for people. Rules that don't listen to an event's type share one line.
func (x *Explanation) Write(w io.Writer) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "prompt %s (bot %s", x.ID, x.Bot)
	if x.VisitorID != "" {
		fmt.Fprintf(b, ", visitor %s", x.VisitorID)
	}
	fmt.Fprintf(b, "): %s; rules version %s\n", x.Status, x.UsedVersion)
	for _, n := range x.Notes {
		fmt.Fprintf(b, "note: %s\n", n)
	}
	for _, e := range x.Events {
		e.write(b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *ExplainedEvent) write(b *strings.Builder) {
	fmt.Fprintf(b, "\nevent %d  %s", e.N, e.Type)
	if e.About != "" {
		fmt.Fprintf(b, "  %s", e.About)
	}
	fmt.Fprintf(b, "  (%s", e.At.UTC().Format("15:04:05.000"))
	if e.Turn > 0 {
		fmt.Fprintf(b, ", turn %d", e.Turn)
	}
	b.WriteString(")\n")
	width := 0
	for _, r := range e.Rules {
		if r.Result != rules.OtherEvent {
			width = max(width, len(r.Rule))
		}
	}
	var others []string
	for _, r := range e.Rules {
		if r.Result == rules.OtherEvent && r.Recorded == "" {
			others = append(others, r.Rule)
			continue
		}
		r.write(b, width)
	}
	switch {
	case len(others) == len(e.Rules):
		b.WriteString("  no rule is on this type\n")
	case len(others) > 0:
		fmt.Fprintf(b, "  not for this type: %s\n", strings.Join(others, ", "))
	}
}

func (r *ExplainedRule) write(b *strings.Builder, width int) {
	lines := r.lines()
	if r.Recorded != "" {
		lines = append(lines, fmt.Sprintf("(the outcome says: %s)", r.Recorded))
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, line := range lines {
		name, result := "", ""
		if i == 0 {
			name, result = r.Rule, strings.ReplaceAll(string(r.Result), string(rules.OtherBot), "other bot")
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-*s  %-9s  %s", width, name, result, line), " ") + "\n")
	}
}

// lines say why, one reason a line.
func (r *ExplainedRule) lines() []string {
	var lines []string
	switch r.Result {
	case rules.Fired, rules.Shadow:
		for _, a := range r.Actions {
			lines = append(lines, actionText(a))
		}
	case rules.False:
		for _, c := range r.Clauses {
			if c.Decisive {
				lines = append(lines, c.String())
			}
		}
		if len(lines) == 0 {
			lines = append(lines, r.When+" → false")
		}
	default:
		if r.Why != "" {
			lines = append(lines, r.Why)
		}
	}
	return lines
}

// String is the clause as text shows it: `event.status == "done" → false (event.status = "error")`.
func (c ExplainedClause) String() string {
	result := "could not be evaluated: " + c.Error
	if c.Result != nil {
		result = strconv.FormatBool(*c.Result)
	}
	saw := make([]string, len(c.Saw))
	for i, s := range c.Saw {
		saw[i] = fmt.Sprintf("%s = %s", s.Name, s.Value)
	}
	if len(saw) == 0 {
		return c.Clause + " → " + result
	}
	return fmt.Sprintf("%s → %s (%s)", c.Clause, result, strings.Join(saw, ", "))
}

// actionText says in one line where an action goes.
func actionText(a rules.Action) string {
	switch a.Kind {
	case rules.KindWebhook:
		path := a.Path
		if a.Query != "" {
			path += "?" + a.Query
		}
		return strings.TrimRight(fmt.Sprintf("webhook %s %s %s", a.Endpoint, a.Method, path), " ")
	case rules.KindPublish:
		return "publish " + a.Subject
	}
	return "reply " + quoted(a.Text)
}

// quoted shows what somebody said on one line, not all of it.
func quoted(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
