package rules

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// actions reads the actions of a rule.
func (p *parser) actions(e entry, r *Rule) {
	entries, ok := p.list(e)
	if ok && len(entries) == 0 {
		p.problem(p.placeOr(e), "", "%s has no actions: name at least one webhook, publish or reply", ruleLabel(r))
	}
	for _, e := range entries {
		if a, ok := p.action(e, r); ok {
			r.actions = append(r.actions, a)
		}
	}
}

// actionKeys are the keys of each kind of action, its own first.
var actionKeys = map[Kind][]string{
	KindWebhook: {"webhook", "path", "query", "method", "headers", "body"},
	KindPublish: {"publish", "headers", "body"},
	KindReply:   {"reply"},
}

func (p *parser) action(e entry, r *Rule) (action, bool) {
	entries, ok := p.entries(e.value, "an action", e.at)
	if !ok {
		return action{}, false
	}
	kinds := []Kind{}
	for _, e := range entries {
		if k := Kind(e.key); actionKeys[k] != nil {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) != 1 {
		p.oddKinds(e, entries, kinds)
		return action{}, false
	}
	a := action{kind: kinds[0]}
	if a.kind == KindWebhook {
		a.method = http.MethodPost
	}
	before := len(p.problems)
	for _, e := range entries {
		if !slices.Contains(actionKeys[a.kind], e.key) {
			p.problem(e.at, didYouMean(e.key, actionKeys[a.kind]), "a %s action has no key %q", a.kind, e.key)
			continue
		}
		p.actionKey(e, &a, r)
	}
	if a.method == http.MethodGet && a.body != nil {
		p.problem(e.at, "", "a GET has no body")
	}
	return a, len(p.problems) == before
}

// oddKinds reports an action that is of no kind, or of several.
func (p *parser) oddKinds(e entry, entries []entry, kinds []Kind) {
	if len(kinds) > 1 {
		p.problem(e.at, "make an action of each", "an action is one of webhook, publish and reply, and this one is %s and %s", kinds[0], kinds[1])
		return
	}
	for _, e := range entries {
		if near := nearest(e.key, []string{"webhook", "publish", "reply"}); near != "" {
			p.problem(e.at, didYouMean(e.key, []string{near}), "an action has no key %q", e.key)
			return
		}
	}
	p.problem(e.at, "", "an action is one of webhook, publish and reply, and this one is none of them")
}

func (p *parser) actionKey(e entry, a *action, r *Rule) {
	switch e.key {
	case "webhook":
		p.webhookName(e, a)
	case "path":
		a.path = p.path(e, r)
	case "query":
		a.query = p.query(e, r)
	case "method":
		p.oneOf(e, &a.method, methods...)
	case "headers":
		a.headers = p.actionHeaders(e, a, r)
	case "body":
		a.body = p.body(e, r)
	case "publish":
		a.subject = p.subject(e, r)
	case "reply":
		a.text = p.reply(e, r)
	}
}

func (p *parser) webhookName(e entry, a *action) {
	t, ok := p.literal(e)
	if !ok {
		return
	}
	w, there := p.set.webhooks[t.value]
	if !there {
		p.problem(t.start, didYouMean(t.value, slices.Collect(maps.Keys(p.set.webhooks))), "unknown webhook %s", t.shown())
		return
	}
	a.webhook, a.order = w, p.orders[w.Name]
}

// path reads the path that is added to an endpoint's URL.
func (p *parser) path(e entry, r *Rule) *template {
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	x, ok := p.template(t, r.On)
	if !ok {
		return nil
	}
	if !strings.HasPrefix(x.first(), "/") {
		p.problem(t.start, "", "path begins with /")
		return nil
	}
	sample := ""
	for i, part := range x.parts {
		if part.x != nil {
			sample += "x"
			continue
		}
		if i := strings.IndexAny(part.literal, "?#\\ \t\r\n"); i >= 0 {
			p.problem(t.at(utf8.RuneCountInString(t.value[:max(0, strings.Index(t.value, part.literal)+i)])), pathHint(part.literal[i]),
				"a path has no %q", part.literal[i])
			return nil
		}
		x.parts[i].literal = escapeLiteral(part.literal)
		sample += x.parts[i].literal
	}
	if err := checkSegments(sample, strings.HasSuffix(sample, "/")); err != nil {
		p.problem(t.start, "", "path: %v", err)
		return nil
	}
	return x
}

func pathHint(c byte) string {
	if c == '?' {
		return "put what follows it under query"
	}
	return ""
}

// escapeLiteral escapes what an author wrote and URLs can't hold as it is; escapes that are there stay.
func escapeLiteral(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune("\"<>^`{|}", r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(url.PathEscape(string(r)))
	}
	return b.String()
}

// query reads a map of keys and values, or a query that is written out.
func (p *parser) query(e entry, r *Rule) []queryPart {
	if _, scalar := e.value.(ast.ScalarNode); scalar {
		return p.queryText(e, r)
	}
	entries, _ := p.entries(e.value, "query", e.at)
	var parts []queryPart
	for _, e := range entries {
		if strings.Contains(e.key, "{{") || e.key == "" {
			p.problem(e.at, "", "a key of a query is literal and not empty")
			continue
		}
		values, _ := p.oneOrList(e)
		for _, v := range values {
			if x, ok := p.scalarTemplate(v, r); ok {
				for i := range x.parts {
					if x.parts[i].x == nil {
						x.parts[i].literal = url.QueryEscape(x.parts[i].literal)
					}
				}
				parts = append(parts, queryPart{url.QueryEscape(e.key), x})
			}
		}
	}
	return parts
}

// scalarTemplate reads text with placeholders, or a number or a boolean that stands for its text.
func (p *parser) scalarTemplate(e entry, r *Rule) (*template, bool) {
	if isPlainScalar(e.value) {
		return &template{parts: []part{{literal: e.value.GetToken().Value}}}, true
	}
	t, ok := p.text(e)
	if !ok {
		return nil, false
	}
	return p.template(t, r.On)
}

func (p *parser) queryText(e entry, r *Rule) []queryPart {
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	x, ok := p.template(t, r.On)
	if !ok {
		return nil
	}
	for i, part := range x.parts {
		if strings.ContainsAny(part.literal, "#? \t\r\n\\") {
			p.problem(t.start, "write it as a map, e.g. {order: \"{{ prompt.data.order_id }}\"}", "a query that is written out has no space, ?, # or \\")
			return nil
		}
		x.parts[i].literal = escapeLiteral(part.literal)
	}
	return []queryPart{{value: x}}
}

// actionHeaders reads the headers of one action.
func (p *parser) actionHeaders(e entry, a *action, r *Rule) []headerPart {
	entries, _ := p.entries(e.value, "headers", e.at)
	check, canonical := checkHeader, http.CanonicalHeaderKey
	if a.kind == KindPublish {
		check, canonical = checkNATSHeader, func(s string) string { return s }
	}
	var parts []headerPart
	for _, e := range entries {
		if wrong := check(e.key); wrong != "" {
			p.problem(e.at, "", "%s", wrong)
			continue
		}
		name := canonical(e.key)
		if slices.ContainsFunc(parts, func(h headerPart) bool { return h.name == name }) {
			p.problem(e.at, "", "the header %s is here twice", name)
			continue
		}
		x, ok := p.scalarTemplate(e, r)
		if !ok {
			continue
		}
		for _, part := range x.parts {
			if err := checkHeaderValue(part.literal); err != nil {
				p.problem(p.placeOr(e), "", "header %s: %v", name, err)
			}
		}
		parts = append(parts, headerPart{name, x})
	}
	return parts
}

// subject reads where a message is published to.
func (p *parser) subject(e entry, r *Rule) *template {
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	x, ok := p.template(t, r.On)
	if !ok {
		return nil
	}
	if wrong := checkSubject(x); wrong != "" {
		p.problem(t.start, "", "publish: %s", wrong)
		return nil
	}
	return x
}

func checkSubject(x *template) string {
	sample := ""
	for _, part := range x.parts {
		if part.x != nil {
			sample += "\x00"
			continue
		}
		sample += part.literal
	}
	tokens := strings.Split(sample, ".")
	switch first := tokens[0]; {
	case sample == "":
		return "the subject is empty"
	case strings.Contains(first, "\x00"):
		return "the first token of a subject is literal: no {{ }} in it"
	case strings.HasPrefix(first, "$") || first == "_INBOX":
		return "subjects under " + first + " belong to NATS"
	}
	for _, token := range tokens {
		switch {
		case token == "":
			return "a subject has no empty token"
		case strings.ContainsAny(token, "*>"):
			return "a subject to publish to has no wildcard"
		case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' && r != 0 || r == 0x7f || r == '\u00a0' || r == utf8.RuneError }):
			return "a subject has no white space and no control character"
		}
	}
	if len(sample) > maxSubject {
		return "a subject has at most 512 bytes"
	}
	return ""
}

func (p *parser) reply(e entry, r *Rule) *template {
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	if slices.Contains(r.On, ConversationEnded) && !p.anyType {
		p.problem(e.at, "", "there is no reply on conversation_ended: the conversation is over")
	}
	if strings.TrimSpace(t.value) == "" {
		p.problem(t.start, "", "reply is empty")
		return nil
	}
	x, _ := p.template(t, r.On)
	return x
}
