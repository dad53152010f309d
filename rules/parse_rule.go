package rules

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

var eventTypes = []string{
	string(ToolAction), string(ToolActionResult), string(HandoffOffered), string(AgentJoined), string(AgentMessage),
	string(AgentLeft), string(FinalResponse), string(ConversationEnded), string(Unknown),
}

// rules reads the section of that name.
func (p *parser) rules(e entry) {
	if isEmpty(e.value) {
		return
	}
	entries, _ := p.list(e)
	for _, e := range entries {
		p.set.rules = append(p.set.rules, p.rule(e))
	}
}

func (p *parser) rule(e entry) *Rule {
	r := &Rule{Mode: modeLive, File: p.src.name, Line: e.at.line}
	given := map[string]entry{}
	keep := func(e entry) { given[e.key] = e }
	ok := p.object(e.value, "a rule", e.at, fields{
		"name":        func(e entry) { keep(e); p.ruleName(e, r) },
		"description": func(e entry) { p.description(e, r) },
		"on":          func(e entry) { keep(e); r.On = p.on(e) },
		"when":        keep,
		"bots":        func(e entry) { r.Bots = p.botNames(e) },
		"once":        func(e entry) { p.oneOf(e, &r.Once, onceTurn, onceConversation, onceVisitor) },
		"cooldown":    keep,
		"backstop":    func(e entry) { p.yes(e, &r.Backstop) },
		"mode":        func(e entry) { p.oneOf(e, &r.Mode, modeLive, modeShadow, modeOff) },
		"actions":     keep,
	})
	if !ok {
		return r
	}
	p.missing(e, r, given)
	if p.anyType = len(r.On) == 0; p.anyType {
		// Without types nothing can be said about fields: check the expressions as if all were listed.
		for _, t := range eventTypes {
			r.On = append(r.On, EventType(t))
		}
	}
	if e, there := given["when"]; there {
		r.when = p.condition(e, r)
	}
	if e, there := given["cooldown"]; there {
		p.cooldown(e, r)
	}
	if e, there := given["actions"]; there {
		p.actions(e, r)
	}
	return r
}

// missing reports the keys that a rule must have. YAML gives what follows an unquoted ! to the tag that it reads there,
// so after one of these nothing is known to be missing.
func (p *parser) missing(e entry, r *Rule, given map[string]entry) {
	for _, g := range given {
		if _, tag := g.value.(*ast.TagNode); tag {
			return
		}
	}
	for _, key := range []string{"name", "on", "actions"} {
		if _, there := given[key]; !there {
			p.problem(e.at, "", "%s has no %s", ruleLabel(r), key)
		}
	}
}

func ruleLabel(r *Rule) string {
	if r.Name == "" {
		return "a rule"
	}
	return "rule " + r.Name
}

func (p *parser) ruleName(e entry, r *Rule) {
	t, ok := p.literal(e)
	if !ok || !p.checkName(t.value, t.start, "a rule") {
		return
	}
	r.Name = t.value
	if where, twice := p.ruleNames[r.Name]; twice {
		p.problem(t.start, "", "a second rule %q: the first is at %s", r.Name, where)
		return
	}
	p.ruleNames[r.Name] = fmt.Sprintf("%s:%d", p.src.name, t.start.line)
}

func (p *parser) description(e entry, r *Rule) {
	if t, ok := p.text(e); ok {
		r.Description = t.value
	}
}

func (p *parser) on(e entry) []EventType {
	entries, ok := p.oneOrList(e)
	if ok && len(entries) == 0 {
		p.problem(p.placeOr(e), "", "on is empty: name at least one event type")
	}
	var types []EventType
	for _, e := range entries {
		t, ok := p.literal(e)
		switch {
		case !ok:
		case !slices.Contains(eventTypes, t.value):
			p.problem(t.start, didYouMean(t.value, eventTypes), "unknown event type %s", t.shown())
		case slices.Contains(types, EventType(t.value)):
			p.problem(t.start, "", "%s is here twice", t.value)
		default:
			types = append(types, EventType(t.value))
		}
	}
	return types
}

func (p *parser) botNames(e entry) []string {
	entries, ok := p.oneOrList(e)
	if ok && len(entries) == 0 {
		p.problem(p.placeOr(e), "leave the key out for all bots", "bots is empty")
	}
	var names []string
	for _, e := range entries {
		t, ok := p.literal(e)
		if !ok {
			continue
		}
		if _, there := p.set.bots[t.value]; !there {
			p.problem(t.start, didYouMean(t.value, slices.Collect(maps.Keys(p.set.bots))), "unknown bot %s", t.shown())
			continue
		}
		names = append(names, t.value)
	}
	return names
}

func (p *parser) condition(e entry, r *Rule) *expression {
	if b, isBool := e.value.(*ast.BoolNode); isBool {
		t := text{value: fmt.Sprint(b.Value), src: p.src, start: p.place(b)}
		r.When = t.value
		return p.expression(t, r.On, reflect.Bool)
	}
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	if strings.HasPrefix(strings.TrimSpace(t.value), "{{") {
		p.problem(t.start, "write the expression alone", "when is an expression already: no {{ }} around it")
		return nil
	}
	r.When = strings.TrimSpace(t.value)
	return p.expression(t, r.On, reflect.Bool)
}

// expression compiles a scalar that is one expression.
func (p *parser) expression(t text, on []EventType, want reflect.Kind) *expression {
	x, f := compile(t.value, on, want)
	if f != nil {
		p.fault(t, f)
		return nil
	}
	p.commentInText(t)
	return x
}

// template compiles a scalar with placeholders.
func (p *parser) template(t text, on []EventType) (*template, bool) {
	x, f := compileTemplate(t.value, on)
	if f != nil {
		p.fault(t, f)
		return nil, false
	}
	p.commentInText(t)
	return x, true
}

// fault reports a mistake in an expression at its place in the file. If YAML took a piece of the expression for a
// comment, that is the likely reason.
func (p *parser) fault(t text, f *fault) {
	hint := f.hint
	if rest := t.cut(); rest != "" && (strings.Count(t.value, `"`)%2 == 1 || strings.Count(t.value, "'")%2 == 1 || strings.Contains(f.message, "{{ without")) {
		p.problem(t.at(utf8.RuneCountInString(t.value)), "quote this: "+t.quoted(), "YAML reads the rest of the line, from #, as a comment")
		return
	}
	p.problem(t.at(f.index), hint, "%s", f.message)
}

// commentInText reports a plain scalar that goes on with #x: a comment has a space after its #, so this was meant to be
// part of the text.
func (p *parser) commentInText(t text) {
	rest := t.cut()
	if len(rest) > 1 && !strings.ContainsAny(rest[1:2], " \t#!-=") {
		p.problem(t.at(utf8.RuneCountInString(t.value)), "quote this: "+t.quoted()+", or put a space after #",
			"YAML reads the rest of the line, from #, as a comment")
	}
}

// cooldown reads {for, key}, or a duration alone.
func (p *parser) cooldown(e entry, r *Rule) {
	if _, scalar := e.value.(ast.ScalarNode); scalar {
		p.duration(e, &r.Cooldown, time.Second, 366*day)
		return
	}
	given := false
	ok := p.object(e.value, "cooldown", e.at, fields{
		"for": func(e entry) { given = true; p.duration(e, &r.Cooldown, time.Second, 366*day) },
		"key": func(e entry) {
			if t, ok := p.text(e); ok {
				r.CooldownKey = strings.TrimSpace(t.value)
				r.cooldownKey = p.expression(t, r.On, reflect.Invalid)
			}
		},
	})
	if ok && !given {
		p.problem(e.at, "", "cooldown has no for, e.g. {for: 10m}")
	}
}
