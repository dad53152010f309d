package rules

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Clause is a part of a condition between its && and ||, with what it came to. A `not` before several clauses stands
// before each of them, so whatever has to be explained about a false condition is a clause that was false.
type Clause struct {
	Text     string // normalised: `event.status == "done"`
	Holds    bool
	Error    string // why it could not be evaluated; "" if it could
	Decisive bool   // it is one of those that made the condition false
	Saw      []Saw  // the values that it read
}

// Saw is a value that a clause read, as JSON.
type Saw struct {
	Name  string // `event.status`
	Value json.RawMessage
}

// maxSaw bounds the values that are shown, in bytes. A longer one is clipped and is then text.
const maxSaw = 400

// clauses is a condition taken apart: `and`, `or`, or a leaf, which can be evaluated by itself.
type clauses struct {
	op   string // "&&", "||" or "" for a leaf
	kids []*clauses
	text string
	x    *expression
	saw  []namedExpression
}

type namedExpression struct {
	name string
	x    *expression
}

// takeApart splits the condition of a rule. What can't stand alone (it needs something from around it) stays whole.
func takeApart(r *Rule) *clauses {
	s := splitter{on: r.On}
	return s.split(r.when.tree, false)
}

// splitter walks down a condition. lets are the `let`s around the place where it is.
type splitter struct {
	on   []EventType
	lets []*ast.VariableDeclaratorNode
}

func (s *splitter) split(n ast.Node, negated bool) *clauses {
	switch v := n.(type) {
	case *ast.UnaryNode:
		if v.Operator == "not" || v.Operator == "!" {
			return s.split(v.Node, !negated)
		}
	case *ast.BinaryNode:
		if op := logical[v.Operator]; op != "" {
			if negated { // not (a && b) is not a || not b
				op = map[string]string{"&&": "||", "||": "&&"}[op]
			}
			return &clauses{op: op, kids: []*clauses{s.split(v.Left, negated), s.split(v.Right, negated)}}
		}
	case *ast.VariableDeclaratorNode:
		s.lets = append(s.lets, v)
		defer func() { s.lets = s.lets[:len(s.lets)-1] }()
		return s.split(v.Expr, negated)
	}
	return s.leaf(n, negated)
}

var logical = map[string]string{"&&": "&&", "and": "&&", "||": "||", "or": "||"}

func (s *splitter) leaf(n ast.Node, negated bool) *clauses {
	c := &clauses{text: n.String()}
	source := c.text
	if negated {
		source = "not (" + c.text + ")"
		c.text = negation(n)
	}
	c.x = s.compile(source)
	s.sights(n, true, c)
	return c
}

// negation writes `not n` as people do.
func negation(n ast.Node) string {
	if b, ok := n.(*ast.BinaryNode); ok {
		switch b.Operator {
		case "in", "matches", "contains", "startsWith", "endsWith":
			whole, left := n.String(), b.Left.String()
			if rest, ok := strings.CutPrefix(whole, left+" "); ok {
				return left + " not " + rest
			}
		}
		return "not (" + n.String() + ")"
	}
	if _, conditional := n.(*ast.ConditionalNode); conditional {
		return "not (" + n.String() + ")"
	}
	return "not " + n.String()
}

// compile compiles a part of the condition with the lets around it; nil if it can't stand alone.
func (s *splitter) compile(source string) *expression {
	for _, l := range slices.Backward(s.lets) {
		source = "let " + l.Name + " = " + l.Value.String() + "; " + source
	}
	x, fault := compile(source, s.on, reflect.Invalid)
	if fault != nil {
		return nil
	}
	return x
}

// sights notes what is worth seeing of a clause: the fields of the facts that it reads, its own variables, and, where it
// compares what a function made, that too.
func (s *splitter) sights(n ast.Node, operand bool, c *clauses) {
	switch v := n.(type) {
	case nil:
		return
	case *ast.BinaryNode:
		compares := operand && comparisons[v.Operator]
		s.sights(v.Left, compares, c)
		s.sights(v.Right, compares, c)
		return
	case *ast.BuiltinNode, *ast.CallNode:
		if operand && c.text != n.String() {
			s.see(n, c)
		}
	case *ast.MemberNode, *ast.ChainNode, *ast.IdentifierNode:
		if s.readsFacts(n) {
			s.see(n, c)
			s.indexes(n, c)
			return
		}
		if _, plain := n.(*ast.IdentifierNode); plain {
			return
		}
	}
	for _, child := range children(n) {
		s.sights(child, false, c)
	}
}

var comparisons = map[string]bool{"==": true, "!=": true, "<": true, "<=": true, ">": true, ">=": true, "in": true,
	"matches": true, "contains": true, "startsWith": true, "endsWith": true}

// readsFacts says whether n is a chain of fields that begins at the facts or at a variable.
func (s *splitter) readsFacts(n ast.Node) bool {
	switch v := n.(type) {
	case *ast.ChainNode:
		return s.readsFacts(v.Node)
	case *ast.MemberNode:
		return s.readsFacts(v.Node)
	case *ast.IdentifierNode:
		_, fact := known[v.Value]
		return fact || slices.ContainsFunc(s.lets, func(l *ast.VariableDeclaratorNode) bool { return l.Name == v.Value })
	}
	return false
}

// indexes notes what a chain's computed keys read: the event.tool of prompt.data.limits[event.tool].
func (s *splitter) indexes(n ast.Node, c *clauses) {
	switch v := n.(type) {
	case *ast.ChainNode:
		s.indexes(v.Node, c)
	case *ast.MemberNode:
		s.indexes(v.Node, c)
		s.sights(v.Property, false, c)
	}
}

func (s *splitter) see(n ast.Node, c *clauses) {
	name := n.String()
	if slices.ContainsFunc(c.saw, func(x namedExpression) bool { return x.name == name }) {
		return
	}
	if x := s.compile(name); x != nil {
		c.saw = append(c.saw, namedExpression{name, x})
	}
}

// verdict is what a part of a condition comes to. One that fails is neither true nor false.
type verdict int

const (
	isFalse verdict = iota
	isTrue
	isError
)

// evaluated is clauses with their results.
type evaluated struct {
	*clauses
	kids    []*evaluated
	verdict verdict
	clause  *Clause // of a leaf
}

// evaluate evaluates every clause, those too that the condition itself didn't get to, and appends them to all.
func (c *clauses) evaluate(e *evaluation, all *[]*Clause) *evaluated {
	r := &evaluated{clauses: c}
	if c.op == "" {
		r.clause = &Clause{Text: c.text}
		r.verdict = r.clause.evaluate(c, e)
		*all = append(*all, r.clause)
		return r
	}
	settles := isFalse // what one part decides for all
	if c.op == "||" {
		settles = isTrue
	}
	r.verdict = isTrue + isFalse - settles
	for _, k := range c.kids {
		kid := k.evaluate(e, all)
		r.kids = append(r.kids, kid)
		if kid.verdict == settles || kid.verdict == isError && r.verdict != settles {
			r.verdict = kid.verdict
		}
	}
	return r
}

func (c *Clause) evaluate(from *clauses, e *evaluation) verdict {
	for _, s := range from.saw {
		if v, err := e.run(s.x); err == nil {
			c.Saw = append(c.Saw, Saw{s.name, shownValue(v)})
		}
	}
	if from.x == nil {
		c.Error = "this part can't be evaluated by itself"
		return isError
	}
	holds, err := e.holds(from.x)
	if err != nil {
		c.Error = strings.TrimPrefix(err.Error(), from.x.short()+": ")
		return isError
	}
	if c.Holds = holds; holds {
		return isTrue
	}
	return isFalse
}

func shownValue(v any) json.RawMessage {
	raw, err := toJSON(v)
	if err == nil && len(raw) > maxSaw {
		raw, err = toJSON(clip(string(raw), maxSaw))
	}
	if err != nil {
		raw, _ = toJSON(err.Error()) // a string always has JSON
	}
	return raw
}

// blame marks the clauses that made the condition false: of && those that were false (or else failed), of || all.
func (r *evaluated) blame() {
	if r.clause != nil {
		r.clause.Decisive = true
		return
	}
	worst := isError
	for _, k := range r.kids {
		if k.verdict == isFalse {
			worst = isFalse
		}
	}
	for _, k := range r.kids {
		if k.verdict == worst {
			k.blame()
		}
	}
}
