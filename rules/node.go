package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// entry is one key of a YAML map with its value.
type entry struct {
	key   string
	at    position // of the key
	value ast.Node
}

// fields are the keys that an object may have, each with what reads it.
type fields map[string]func(entry)

// object reads a map whose keys are known. A key that isn't known, or comes twice, is a mistake.
func (p *parser) object(n ast.Node, what string, at position, known fields) bool {
	entries, ok := p.entries(n, what, at)
	for _, e := range entries {
		read, isKnown := known[e.key]
		if !isKnown {
			p.problem(e.at, didYouMean(e.key, slices.Collect(maps.Keys(known))), "%s has no key %q", what, e.key)
			continue
		}
		read(e)
	}
	return ok
}

// entries returns the keys and values of a map in the order of the file, without the second of two equal keys.
func (p *parser) entries(n ast.Node, what string, at position) ([]entry, bool) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		if n != nil && n.Type() != ast.NullType {
			at = p.place(n)
		}
		p.problem(at, p.oddNode(n), "%s is a map of keys and values, not %s", what, kindOf(n))
		return nil, false
	}
	first := map[string]position{}
	entries := make([]entry, 0, len(pairs))
	for _, pair := range pairs {
		e := entry{at: p.place(pair.Key), value: pair.Value}
		key, ok := pair.Key.(ast.Node).(ast.ScalarNode)
		if !ok || pair.Key.IsMergeKey() || pair.Key.GetToken().Type == token.MappingKeyType {
			p.problem(e.at, "write the keys out", "%s has a key that is not plain text", what)
			continue
		}
		e.key = fmt.Sprint(key.GetValue())
		if _, isText := pair.Key.(*ast.StringNode); !isText {
			e.key = pair.Key.GetToken().Value
		}
		if before, twice := first[e.key]; twice {
			p.problem(e.at, "", "the key %q is here twice, first on line %d", e.key, before.line)
			continue
		}
		first[e.key] = e.at
		entries = append(entries, e)
	}
	return entries, true
}

// list returns the entries of a list.
func (p *parser) list(e entry) ([]entry, bool) {
	seq, ok := e.value.(*ast.SequenceNode)
	if !ok {
		p.problem(p.placeOr(e), p.oddNode(e.value), "%s is a list, not %s", e.key, kindOf(e.value))
		return nil, false
	}
	all := make([]entry, len(seq.Values))
	for i, v := range seq.Values {
		all[i] = entry{key: e.key, at: p.place(v), value: v}
		if isEmpty(v) && i < len(seq.Entries) {
			all[i].at = p.tokenPlace(seq.Entries[i].Start)
		}
	}
	return all, true
}

// oneOrList returns the entries of a list, or the single value that stands for a list of one.
func (p *parser) oneOrList(e entry) ([]entry, bool) {
	if _, isList := e.value.(*ast.SequenceNode); isList {
		return p.list(e)
	}
	return []entry{{key: e.key, at: p.placeOr(e), value: e.value}}, true
}

// place is where a node starts. A block map starts at its first key, not at the colon that YAML gives.
func (p *parser) place(n ast.Node) position {
	switch v := n.(type) {
	case nil:
		return position{1, 1}
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return p.place(v.Values[0])
		}
	case *ast.MappingValueNode:
		return p.place(v.Key)
	case *ast.LiteralNode:
		return p.tokenPlace(v.Start)
	}
	return p.tokenPlace(n.GetToken())
}

// placeOr is where an entry's value starts, or its key where there is no value.
func (p *parser) placeOr(e entry) position {
	if e.value == nil || e.value.Type() == ast.NullType && e.value.GetToken().Type == token.ImplicitNullType {
		return e.at
	}
	return p.place(e.value)
}

func (p *parser) tokenPlace(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return p.nearby(position{t.Position.Line, t.Position.Column})
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimRight(line, " \t\r")
}

// kindOf names what a node is, for messages.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.TagNode:
		return "a YAML tag (!)"
	case *ast.AnchorNode:
		return "a YAML anchor (&)"
	case *ast.AliasNode:
		return "a YAML alias (*)"
	}
	return "something else"
}

// oddNode is the hint for YAML that people rarely mean: an unquoted ! & or * at the start of a value.
func (p *parser) oddNode(n ast.Node) string {
	switch n.(type) {
	case *ast.TagNode:
		return p.quoteLine(n)
	case *ast.AnchorNode, *ast.AliasNode:
		return p.quoteLine(n) + " (anchors and aliases are not supported)"
	}
	return ""
}

func (p *parser) quoteLine(n ast.Node) string {
	at := p.place(n)
	return "quote this: " + quote(strings.TrimSpace(string(p.src.line(at.line)[at.column-1:])))
}
