package ruletest

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"dgworker/rules"
)

// expectation is what the rules are expected to do in one conversation. A nil suppressed or shadow is not compared.
type expectation struct {
	fired, errors      []want
	suppressed, shadow []want
}

// want is one entry of an expectation. Zero fields are not compared.
type want struct {
	rule  string
	event rules.EventType
	n     int // the event's ordinal

	// Of fired and shadow.
	kind                     rules.Kind
	endpoint, method         string
	path, query, text        *string
	subject                  string
	headers                  map[string]string
	body, bodyHas            any
	hasBody, hasBodyHas, one bool // one: it is about one action, not all that the rule did on an event

	// Of suppressed and errors.
	why    rules.Result
	until  time.Time
	reason string
}

func (r *fixtureReader) expectation(n ast.Node) (x expectation) {
	f := r.fields(n, "expect", "fired", "suppressed", "errors", "shadow")
	for key, into := range map[string]*[]want{"fired": &x.fired, "shadow": &x.shadow, "suppressed": &x.suppressed, "errors": &x.errors} {
		v, there := f[key]
		if !there {
			continue
		}
		*into = []want{}
		r.list(v, key, func(n ast.Node) { *into = append(*into, r.want(n, key)) })
	}
	return x
}

// wantKeys are the keys of an entry, besides rule, event and n.
var wantKeys = map[string][]string{
	"fired":      actionKeys,
	"shadow":     actionKeys,
	"suppressed": {"why", "until"},
	"errors":     {"reason"},
}

var actionKeys = []string{"action", "webhook", "publish", "reply", "endpoint", "method", "path", "query", "subject", "text", "headers", "body", "body_has"}

// want reads an entry of the list of that name: a map, or a rule's name.
func (r *fixtureReader) want(n ast.Node, list string) (w want) {
	if r.isText(n) {
		w.rule = r.ruleName(n)
		return w
	}
	f := r.fields(n, "an entry of "+list, append([]string{"rule", "event", "n"}, wantKeys[list]...)...)
	if v, there := f["rule"]; there {
		w.rule = r.ruleName(v)
	} else {
		r.problem(n, "", "an entry of %s has a rule", list)
	}
	if v, there := f["event"]; there {
		w.event = rules.EventType(r.oneOf(v, "event", typeNames()...))
	}
	if v, there := f["n"]; there {
		w.n = r.whole(v, "n")
	}
	if v, there := f["why"]; there {
		w.why = rules.Result(r.oneOf(v, "why", string(rules.Once), string(rules.Cooldown), string(rules.TurnLimit)))
	}
	if v, there := f["until"]; there {
		w.until = r.moment(v, "until", r.start)
	}
	if v, there := f["reason"]; there {
		w.reason = r.text(v, "reason")
	}
	r.action(f, &w)
	return w
}

// action reads what an entry says of an action, in the words of a rules file or in those of an outcome.
func (r *fixtureReader) action(f map[string]ast.Node, w *want) {
	for key := range f {
		w.one = w.one || slices.Contains(actionKeys, key)
	}
	texts := []struct {
		key  string
		kind rules.Kind
		into *string
	}{
		{"webhook", rules.KindWebhook, &w.endpoint}, {"publish", rules.KindPublish, &w.subject}, {"endpoint", "", &w.endpoint},
		{"subject", "", &w.subject}, {"method", "", &w.method},
	}
	for _, t := range texts {
		if v, there := f[t.key]; there {
			*t.into = r.text(v, t.key)
			r.kind(v, w, t.kind)
		}
	}
	for key, into := range map[string]**string{"path": &w.path, "query": &w.query, "text": &w.text, "reply": &w.text} {
		if v, there := f[key]; there {
			s := r.text(v, key)
			*into = &s
		}
	}
	if v, there := f["reply"]; there {
		r.kind(v, w, rules.KindReply)
	}
	if v, there := f["action"]; there {
		r.kind(v, w, rules.Kind(r.oneOf(v, "action", string(rules.KindWebhook), string(rules.KindPublish), string(rules.KindReply))))
	}
	if v, there := f["headers"]; there {
		w.headers = r.texts(v, "headers")
	}
	if v, there := f["body"]; there {
		w.body, w.hasBody = r.value(v, "body"), true
	}
	if v, there := f["body_has"]; there {
		w.bodyHas, w.hasBodyHas = r.value(v, "body_has"), true
	}
}

// kind notes of which kind an action is expected to be.
func (r *fixtureReader) kind(n ast.Node, w *want, k rules.Kind) {
	switch {
	case k == "":
	case w.kind != "" && w.kind != k:
		r.problem(n, "make an entry of each", "an action is one of webhook, publish and reply, and this one is %s and %s", w.kind, k)
	default:
		w.kind = k
	}
}
