package rules

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// index finds the rules that an event can fire without looking at the others: by the event's type and, within it, by
// one attribute that must equal a literal for the rule's condition to hold.
//
// It only ever leaves out rules whose condition can't be true. A rule that would have failed on its way to false (nil
// data, say) is left out as well.
type index struct {
	types map[EventType]*bucket
}

// bucket has the rules of one event type by their positions in the file, ascending.
type bucket struct {
	always []int32 // must be evaluated on every event of the type
	keyed  []keyed
}

// keyed has the rules that need one attribute to have one of a few values.
type keyed struct {
	name  string
	of    func(*Facts) string
	rules map[string][]int32
}

// attribute is a field of the facts that the index can look at.
type attribute struct {
	name string
	of   func(*Facts) string
}

var attributes = []attribute{
	{"event.tool", func(f *Facts) string { return f.Event.Tool }},
	{"event.status", func(f *Facts) string { return f.Event.Status }},
	{"event.agent_name", func(f *Facts) string { return f.Event.AgentName }},
	{"event.content", func(f *Facts) string { return f.Event.Content }},
	{"event.message", func(f *Facts) string { return f.Event.Message }},
	{"event.type", func(f *Facts) string { return string(f.Event.Type) }},
	{"prompt.bot", func(f *Facts) string { return f.Prompt.Bot }},
	{"prompt.id", func(f *Facts) string { return f.Prompt.ID }},
	{"prompt.content", func(f *Facts) string { return f.Prompt.Content }},
	{"conversation.bot", func(f *Facts) string { return f.Conversation.Bot }},
	{"conversation.status", func(f *Facts) string { return f.Conversation.Status }},
	{"conversation.visitor_id", func(f *Facts) string { return f.Conversation.VisitorID }},
	{"response.text", func(f *Facts) string { return f.Response.Text }},
	{"turn.message", func(f *Facts) string { return f.Turn.Message }},
}

// needs says what a condition needs: for each attribute the values of which it must have one. Nothing about an
// attribute means that any value will do.
type needs map[string][]string

func newIndex(rules []*Rule) *index {
	ix := &index{types: map[EventType]*bucket{}}
	all := make([]needs, len(rules))
	share := map[string]int{} // attribute and value -> how many rules need it
	for i, r := range rules {
		if r.when == nil || r.Mode == modeOff {
			continue
		}
		all[i] = needed(r.when.tree)
		for attr, values := range all[i] {
			for _, v := range values {
				share[attr+"\x00"+v]++
			}
		}
	}
	for i, r := range rules {
		attr, values, ok := best(all[i], share)
		for _, t := range r.On {
			b := ix.types[t]
			if b == nil {
				b = &bucket{}
				ix.types[t] = b
			}
			if !ok {
				b.always = append(b.always, int32(i))
				continue
			}
			b.add(attr, values, int32(i))
		}
	}
	return ix
}

// best chooses the attribute that leaves the fewest other rules beside this one.
func best(n needs, share map[string]int) (attribute, []string, bool) {
	var found attribute
	fewest := -1
	for _, a := range attributes {
		values, ok := n[a.name]
		if !ok {
			continue
		}
		most := 0
		for _, v := range values {
			most = max(most, share[a.name+"\x00"+v])
		}
		if fewest < 0 || most < fewest {
			found, fewest = a, most
		}
	}
	return found, n[found.name], fewest >= 0
}

func (b *bucket) add(a attribute, values []string, rule int32) {
	i := slices.IndexFunc(b.keyed, func(k keyed) bool { return k.name == a.name })
	if i < 0 {
		b.keyed = append(b.keyed, keyed{name: a.name, of: a.of, rules: map[string][]int32{}})
		i = len(b.keyed) - 1
	}
	for _, v := range values {
		b.keyed[i].rules[v] = append(b.keyed[i].rules[v], rule)
	}
}

// find appends to into the positions of the rules that must be evaluated, in the order of the file.
func (ix *index) find(f *Facts, into []int32) []int32 {
	b := ix.types[f.Event.Type]
	if b == nil {
		return into
	}
	into = append(into, b.always...)
	lists := min(len(b.always), 1)
	for i := range b.keyed {
		k := &b.keyed[i]
		if found := k.rules[k.of(f)]; len(found) > 0 {
			into = append(into, found...)
			lists++
		}
	}
	if lists > 1 {
		slices.Sort(into)
	}
	return into
}

// needed reads from a condition's syntax tree what it needs. Nil is nothing.
func needed(n ast.Node) needs {
	switch v := n.(type) {
	case *ast.BinaryNode:
		switch v.Operator {
		case "&&", "and":
			return both(needed(v.Left), needed(v.Right))
		case "||", "or":
			return either(needed(v.Left), needed(v.Right))
		case "==":
			if values, ok := literals(v.Right); ok {
				return need(v.Left, values)
			}
			if values, ok := literals(v.Left); ok {
				return need(v.Right, values)
			}
		case "in":
			if list, ok := v.Right.(*ast.ArrayNode); ok {
				if values, ok := literals(list.Nodes...); ok {
					return need(v.Left, values)
				}
			}
		}
	}
	return nil
}

// literals returns the strings that nodes are, if all are.
func literals(nodes ...ast.Node) ([]string, bool) {
	values := make([]string, 0, len(nodes))
	for _, n := range nodes {
		s, ok := n.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		if !slices.Contains(values, s.Value) {
			values = append(values, s.Value)
		}
	}
	return values, true
}

// need is the need for one attribute, if n is one.
func need(n ast.Node, values []string) needs {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		return nil
	}
	root, isName := m.Node.(*ast.IdentifierNode)
	field, isField := m.Property.(*ast.StringNode)
	if !isName || !isField {
		return nil
	}
	name := root.Value + "." + field.Value
	if !slices.ContainsFunc(attributes, func(a attribute) bool { return a.name == name }) {
		return nil
	}
	return needs{name: values}
}

// both joins what two conditions need that must both hold.
func both(a, b needs) needs {
	if a == nil {
		return b
	}
	for name, values := range b {
		if before, twice := a[name]; twice {
			values = slices.DeleteFunc(slices.Clone(before), func(v string) bool { return !slices.Contains(values, v) })
		}
		a[name] = values
	}
	return a
}

// either joins what two conditions need of which one must hold: only what both say something about.
func either(a, b needs) needs {
	n := needs{}
	for name, values := range a {
		if others, ok := b[name]; ok {
			for _, v := range others {
				if !slices.Contains(values, v) {
					values = append(slices.Clip(values), v)
				}
			}
			n[name] = values
		}
	}
	if len(n) == 0 {
		return nil
	}
	return n
}
