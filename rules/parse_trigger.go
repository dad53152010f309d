package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that a zone's name means the same on every machine, those without a database of zones too
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// triggers reads the section of that name.
func (p *parser) triggers(e entry) {
	if isEmpty(e.value) {
		return
	}
	entries, _ := p.list(e)
	for _, e := range entries {
		if t := p.trigger(e); t != nil {
			p.set.triggers = append(p.set.triggers, t)
		}
	}
}

func (p *parser) trigger(e entry) *Trigger {
	t := &Trigger{File: p.src.name, Line: e.at.line, maxContent: defaultMaxContent}
	given := map[string]entry{}
	keep := func(e entry) { given[e.key] = e }
	read := fields{"name": func(e entry) { keep(e); p.triggerName(e, t) }}
	for _, key := range []string{"description", "subject", "every", "cron", "timezone", "start", "when", "bot", "id", "visitor_id", "content", "messages", "data"} {
		read[key] = keep
	}
	if !p.object(e.value, "a trigger", e.at, read) {
		return nil
	}
	p.missingInTrigger(e, t, given)
	readers := []struct {
		key  string
		read func(entry, *Trigger)
	}{
		{"description", func(e entry, t *Trigger) { p.plainText(e, &t.Description) }},
		{"subject", p.triggerSubject},
		{"every", func(e entry, t *Trigger) { p.duration(e, &t.Every, time.Second, 366*day) }},
		{"cron", p.triggerCron},
		{"timezone", p.triggerTimezone},
		{"start", p.triggerStart},
		{"bot", p.triggerBot},
		{"when", p.triggerWhen},
		{"id", func(e entry, t *Trigger) { t.id = p.triggerText(e) }},
		{"visitor_id", func(e entry, t *Trigger) { t.visitor = p.triggerText(e) }},
		{"content", p.triggerContent},
		{"messages", p.triggerMessages},
		{"data", func(e entry, t *Trigger) { t.data = p.triggerData(e) }},
	}
	for _, r := range readers {
		if e, there := given[r.key]; there {
			r.read(e, t)
		}
	}
	return t
}

// missingInTrigger reports keys that a trigger must have, and those that don't go together.
func (p *parser) missingInTrigger(e entry, t *Trigger, given map[string]entry) {
	for _, g := range given {
		if _, tag := g.value.(*ast.TagNode); tag {
			return
		}
	}
	for _, key := range []string{"name", "bot"} {
		if _, there := given[key]; !there {
			p.problem(e.at, "", "%s has no %s", triggerLabel(t), key)
		}
	}
	_, content := given["content"]
	if _, messages := given["messages"]; !content && !messages {
		p.problem(e.at, "", "%s has neither content nor messages: what shall be said?", triggerLabel(t))
	}
	var sources []string
	for _, key := range []string{"subject", "every", "cron"} {
		if _, there := given[key]; there {
			sources = append(sources, key)
		}
	}
	if len(sources) != 1 {
		p.oddSources(e, t, given, sources)
		return
	}
	if g, there := given["start"]; there && sources[0] != "subject" {
		p.problem(g.at, "", "start is for triggers with a subject: a schedule begins when it is read")
	}
	if g, there := given["timezone"]; there && sources[0] != "cron" {
		p.problem(g.at, "", "timezone is for cron alone")
	}
}

func (p *parser) oddSources(e entry, t *Trigger, given map[string]entry, sources []string) {
	if len(sources) == 0 {
		p.problem(e.at, "", "%s has no subject: give one, or every or cron", triggerLabel(t))
		return
	}
	p.problem(given[sources[1]].at, "make a trigger of each", "a trigger has one of subject, every and cron, and this one has %s", strings.Join(sources, " and "))
}

func triggerLabel(t *Trigger) string {
	if t.Name == "" {
		return "a trigger"
	}
	return "trigger " + t.Name
}

func (p *parser) triggerName(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok || !p.checkName(text.value, text.start, "a trigger") {
		return
	}
	t.Name = text.value
	for _, other := range p.set.triggers {
		if other.Name == t.Name {
			p.problem(text.start, "", "a second trigger %q: the first is at %s:%d", t.Name, other.File, other.Line)
			return
		}
	}
}

func (p *parser) plainText(e entry, into *string) {
	if t, ok := p.text(e); ok {
		*into = t.value
	}
}

func (p *parser) triggerSubject(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok {
		return
	}
	if wrong := checkFilter(text.value); wrong != "" {
		p.problem(text.start, "", "subject: %s", wrong)
		return
	}
	t.Subject = text.value
}

// checkFilter says what is wrong with a subject to listen on.
func checkFilter(subject string) string {
	tokens := strings.Split(subject, ".")
	switch {
	case subject == "":
		return "it is empty"
	case len(subject) > maxSubject:
		return "a subject has at most 512 bytes"
	case subject == ">":
		return "it takes in everything, also the prompts that this trigger makes: an endless loop"
	case tokens[0] == "_INBOX", tokens[0] == "$SYS", tokens[0] == "$JS" && (len(tokens) < 2 || tokens[1] != "EVENT"):
		return "subjects under " + tokens[0] + " belong to NATS"
	}
	for i, token := range tokens {
		switch {
		case token == "":
			return "a subject has no empty token"
		case token == ">" && i < len(tokens)-1:
			return "> stands at the end only"
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fmt.Sprintf("a wildcard is a token of its own: in %q it is not", clip(token, 60))
		case strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError }):
			return "a subject has no white space and no control character"
		}
	}
	return ""
}

func (p *parser) triggerCron(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok {
		return
	}
	schedule, err := parseCron(text.value)
	if err != nil {
		p.problem(text.start, "", "%v", err)
		return
	}
	t.Cron, t.schedule = strings.TrimSpace(text.value), schedule
}

func (p *parser) triggerTimezone(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok {
		return
	}
	// An empty name is UTC to Go and a mistake to NATS; Local would be another one on every machine.
	if _, err := time.LoadLocation(text.value); err != nil || text.value == "" || text.value == "Local" {
		p.problem(text.start, "", "timezone is a name such as Europe/Berlin or UTC, not %s", text.shown())
		return
	}
	t.Timezone = text.value
}

// triggerStart reads from which event on a stream is read.
func (p *parser) triggerStart(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok {
		return
	}
	switch text.value {
	case "new":
	case "all":
		t.StartAll = true
	default:
		at, err := time.Parse(time.RFC3339, text.value)
		if err != nil {
			p.problem(text.start, "", "start is all, new or a time such as 2026-12-01T08:00:00Z, not %s", text.shown())
		}
		t.Start = at
	}
}

func (p *parser) triggerBot(e entry, t *Trigger) {
	text, ok := p.literal(e)
	if !ok {
		return
	}
	b, there := p.set.bots[text.value]
	if !there {
		p.problem(text.start, didYouMean(text.value, slices.Collect(maps.Keys(p.set.bots))), "unknown bot %s", text.shown())
		return
	}
	t.Bot, t.maxContent = b.Name, b.MaxContent
}

func (p *parser) triggerWhen(e entry, t *Trigger) {
	r := &Rule{On: forTriggers}
	t.when = p.condition(e, r)
	t.When = r.When
}

// triggerText reads a template that can't come out empty.
func (p *parser) triggerText(e entry) *template {
	if isPlainScalar(e.value) {
		x, _ := p.scalarTemplate(e, &Rule{On: forTriggers})
		return x
	}
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	if strings.TrimSpace(t.value) == "" {
		p.problem(p.placeOr(e), "", "%s is empty", e.key)
		return nil
	}
	x, _ := p.template(t, forTriggers)
	return x
}

func (p *parser) triggerContent(e entry, t *Trigger) {
	if x := p.triggerText(e); x != nil {
		t.messages = append(t.messages, x)
	}
}

func (p *parser) triggerMessages(e entry, t *Trigger) {
	entries, ok := p.list(e)
	if ok && len(entries) == 0 {
		p.problem(p.placeOr(e), "", "messages is empty")
	}
	for _, e := range entries {
		p.triggerContent(e, t)
	}
}

// triggerData reads what becomes prompt.data: any YAML, in which a string that is one whole placeholder keeps its type.
func (p *parser) triggerData(e entry) body {
	return p.json(e, &Rule{On: forTriggers})
}
