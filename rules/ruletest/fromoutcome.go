package ruletest

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dgworker/rules"
)

// WriteFixture writes a fixture with one test: the prompt and the events of o, and what its rules are recorded to have
// done. Put to the same rules it passes. rulesPath is what the fixture names as its rules.
func WriteFixture(w io.Writer, o *Outcome, rulesPath string) error {
	f := &fixtureWriter{o: o, start: startOf(o)}
	f.last = f.start
	f.printf("# Made from the outcome of prompt %s, which ended as %s under rules version %s.\n", jsonOf(o.ID), o.Status, o.RulesVersion)
	if o.Truncated {
		f.printf("# The outcome is truncated: rules saw more than is here.\n")
	}
	f.printf("rules: %s\ntests:\n  - name: %s\n    start: %s\n", scalar(rulesPath), scalar("outcome "+o.ID), f.start.Format(rules.TimeFormat))
	if err := f.expectations(); err != nil {
		return err
	}
	f.claims()
	f.prompt()
	f.events("    ", "greeting", o.Events, "", "")
	if len(o.Turns) > 0 {
		f.printf("    turns:\n")
	}
	for _, t := range o.Turns {
		f.printf("      - message: %s\n", scalar(t.Message))
		f.events("        ", "events", t.Events, t.Response, t.MessageID)
	}
	f.expected()
	_, err := io.WriteString(w, f.text.String())
	return err
}

// startOf is when the conversation began; an event that was recorded before is believed.
func startOf(o *Outcome) time.Time {
	start := o.StartedAt
	first := func(events []Event) {
		if len(events) > 0 && (start.IsZero() || events[0].At.Before(start)) {
			start = events[0].At
		}
	}
	first(o.Events)
	for _, t := range o.Turns {
		first(t.Events)
	}
	return start.UTC().Truncate(time.Millisecond)
}

type fixtureWriter struct {
	o           *Outcome
	text        strings.Builder
	start, last time.Time
	happened    happened
}

func (f *fixtureWriter) printf(format string, args ...any) { fmt.Fprintf(&f.text, format, args...) }

// expectations collects what is recorded.
func (f *fixtureWriter) expectations() error {
	collect := func(events []Event) error {
		for i := range events {
			ds, err := events[i].decisions()
			if err != nil {
				return err
			}
			f.happened.note(events[i].event(), events[i].N, ds)
		}
		return nil
	}
	if err := collect(f.o.Events); err != nil {
		return err
	}
	for _, t := range f.o.Turns {
		if err := collect(t.Events); err != nil {
			return err
		}
	}
	return nil
}

// claims writes the claims that must have stood before: a rule that was suppressed before it ever fired here.
func (f *fixtureWriter) claims() {
	var lines []string
	var seen []string
	for _, s := range f.happened.suppressed {
		rule := s.decision.Rule
		before := func(g got) bool { return g.decision.Rule == rule && g.n < s.n }
		if s.decision.Result == rules.TurnLimit || slices.ContainsFunc(f.happened.fired, before) || slices.Contains(seen, rule) {
			continue
		}
		seen = append(seen, rule)
		line := "{rule: " + rule
		if !s.decision.Until.IsZero() {
			line += ", until: " + scalar(s.decision.Until.UTC().Format(rules.TimeFormat))
		}
		lines = append(lines, "      - "+line+"}\n")
	}
	if len(lines) > 0 {
		f.printf("    claimed:\n%s", strings.Join(lines, ""))
	}
}

func (f *fixtureWriter) prompt() {
	p := f.o.prompt()
	f.printf("    prompt:\n      id: %s\n      bot: %s\n      visitor_id: %s\n", scalar(p.ID), scalar(p.Bot), scalar(f.o.VisitorID))
	if len(f.o.Prompt.Messages) > 1 {
		f.printf("      messages: %s\n", jsonOf(f.o.Prompt.Messages))
	} else {
		f.printf("      content: %s\n", scalar(p.Content))
	}
	if p.Data != nil {
		f.printf("      data: %s\n", jsonOf(p.Data))
	}
	if len(p.Headers) > 0 {
		f.printf("      headers: %s\n", jsonOf(p.Headers))
	}
}

// events writes a list of events. response is the text of a final_response, and its message's id.
func (f *fixtureWriter) events(indent, key string, events []Event, response ...string) {
	if len(events) == 0 {
		return
	}
	f.printf("%s%s:\n", indent, key)
	for i := range events {
		f.printf("%s  - %s\n", indent, f.event(events[i].event(), response))
	}
}

func (f *fixtureWriter) event(e rules.Event, response []string) string {
	parts := []string{"type: " + string(e.Type)}
	if at := e.At.UTC().Truncate(time.Millisecond); at.After(f.last) {
		parts = append([]string{"after: " + at.Sub(f.last).String()}, parts...)
		f.last = at
	}
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+": "+scalar(value))
		}
	}
	add("tool", e.Tool)
	add("status", e.Status)
	if e.Type == rules.ConversationEnded {
		add("reason", e.Message)
	} else {
		add("message", e.Message)
	}
	add("agent_name", e.AgentName)
	add("content", e.Content)
	if e.Type == rules.FinalResponse {
		parts = append(parts, "text: "+scalar(response[0]))
		add("message_id", response[1])
	}
	switch takesRaw := slices.Contains(eventKeys[e.Type], "raw"); {
	case takesRaw && len(e.Raw) == 0 && len(frame(e)) > 0:
		parts = append(parts, "raw: {}")
	case takesRaw && !same(e.Raw, frame(e)) && len(e.Raw) > 0:
		parts = append(parts, "raw: "+jsonOf(e.Raw))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (f *fixtureWriter) expected() {
	f.printf("    expect:\n")
	f.list("fired", f.happened.fired)
	f.list("suppressed", f.happened.suppressed)
	f.list("errors", f.happened.errors)
	f.list("shadow", f.happened.shadow)
}

func (f *fixtureWriter) list(key string, all []got) {
	if len(all) == 0 {
		f.printf("      %s: []\n", key)
		return
	}
	f.printf("      %s:\n", key)
	for _, g := range all {
		f.printf("        - {rule: %s, n: %d, event: %s%s}\n", scalar(g.decision.Rule), g.n, g.event.Type, f.doing(g))
	}
}

// doing is what an entry says beyond its rule and its event.
func (f *fixtureWriter) doing(g got) string {
	var b strings.Builder
	add := func(key, value string) {
		if value != "" {
			b.WriteString(", " + key + ": " + scalar(value))
		}
	}
	if g.action == nil {
		switch g.decision.Result {
		case rules.Error:
			add("reason", g.decision.Reason)
		default:
			add("why", string(g.decision.Result))
		}
		if !g.decision.Until.IsZero() {
			add("until", g.decision.Until.UTC().Format(rules.TimeFormat))
		}
		return b.String()
	}
	a := g.action
	switch a.Kind {
	case rules.KindWebhook:
		add("webhook", a.Endpoint)
		add("method", a.Method)
		add("path", a.Path)
		add("query", a.Query)
	case rules.KindPublish:
		add("publish", a.Subject)
	default:
		add("reply", a.Text)
	}
	if len(a.Headers) > 0 {
		b.WriteString(", headers: " + jsonOf(a.Headers))
	}
	if len(a.Body) > 0 && !isDefault(a) {
		b.WriteString(", body: " + bodyText(a.Body))
	}
	return b.String()
}

// isDefault says whether a body is the one that an action without `body` has: the facts, which the fixture has already.
func isDefault(a *rules.Action) bool {
	var b struct {
		Data struct {
			Rule         string `json:"rule"`
			Conversation any    `json:"conversation"`
		} `json:"data"`
	}
	return json.Unmarshal(a.Body, &b) == nil && b.Data.Rule == a.Rule && b.Data.Conversation != nil
}

func bodyText(raw []byte) string {
	v, err := asJSON(raw)
	if err != nil {
		return jsonOf(string(raw))
	}
	return jsonOf(v)
}

// scalar writes text as YAML: as it is where nothing in it could mean anything, else as a JSON string, which is YAML too.
func scalar(s string) string {
	if plainScalar(s) {
		return s
	}
	return jsonOf(s)
}

func plainScalar(s string) bool {
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan":
		return false
	}
	if c := s[0]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '/' && len(s) > 1) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./", r))
	})
}
