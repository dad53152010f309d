package rules

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// body reads what a request or a message carries: a map or a list becomes JSON, text is text unless it is one whole
// placeholder.
func (p *parser) body(e entry, r *Rule) body {
	if isEmpty(e.value) {
		p.problem(p.placeOr(e), "leave the key out for the default body", "body is empty")
		return nil
	}
	switch e.value.(type) {
	case *ast.StringNode, *ast.LiteralNode:
	default:
		return p.json(e, r)
	}
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	x, ok := p.template(t, r.On)
	if !ok {
		return nil
	}
	if _, whole := x.whole(); whole {
		return jsonTemplate{x}
	}
	if lead := strings.TrimSpace(x.first()); !x.literal() && (strings.HasPrefix(lead, "{") || strings.HasPrefix(lead, "[")) {
		p.problem(t.start, "write it as a YAML map or list, without the quotes around the whole",
			"this is JSON written as text: values put into it would not be escaped")
		return nil
	}
	return textBody{x}
}

// json reads a value that becomes JSON. Keys are literal.
func (p *parser) json(e entry, r *Rule) body {
	switch n := e.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return p.jsonMap(e, r)
	case *ast.SequenceNode:
		entries, _ := p.list(e)
		list := make(jsonList, 0, len(entries))
		for _, e := range entries {
			if b := p.json(e, r); b != nil {
				list = append(list, b)
			}
		}
		return list
	case nil, *ast.NullNode:
		return literalJSON("null")
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		raw, err := toJSON(n.(ast.ScalarNode).GetValue())
		if err != nil {
			p.problem(p.placeOr(e), "", "%v", err)
			return nil
		}
		return literalJSON(raw)
	}
	t, ok := p.text(e)
	if !ok {
		return nil
	}
	x, ok := p.template(t, r.On)
	if !ok {
		return nil
	}
	if !x.literal() {
		return jsonTemplate{x}
	}
	raw, err := toJSON(strings.ReplaceAll(t.value, "$${", "${"))
	if err != nil {
		p.problem(t.start, "", "%v", err)
	}
	return literalJSON(raw)
}

func (p *parser) jsonMap(e entry, r *Rule) body {
	entries, _ := p.entries(e.value, e.key, e.at)
	m := make(jsonMap, 0, len(entries))
	for _, e := range entries {
		if strings.Contains(e.key, "{{") {
			p.problem(e.at, "", "a key of a body is literal: no {{ }} in it")
			continue
		}
		key, err := toJSON(e.key)
		if err != nil {
			p.problem(e.at, "", "%v", err)
			continue
		}
		if b := p.json(e, r); b != nil {
			m = append(m, member{e.key, key, b})
		}
	}
	return m
}
