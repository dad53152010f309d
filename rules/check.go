package rules

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

const (
	maxNesting = 2    // predicates within each other
	maxPattern = 2000 // instructions of a compiled pattern
)

// known are the names that expressions see, with their fields.
var known = map[string][]string{
	"event":        {"type", "at", "tool", "status", "message", "content", "agent_name", "raw"},
	"response":     {"text", "message_id"},
	"turn":         {"index", "message", "tools"},
	"conversation": {"visitor_id", "bot", "status", "turns", "tools", "handed_off"},
	"prompt":       {"id", "bot", "content", "data", "headers"},
}

// has lists the event types that fill a field of event. Those not listed are filled always.
var has = map[string][]EventType{
	"tool":       {ToolAction, ToolActionResult},
	"status":     {ToolAction, ToolActionResult},
	"message":    {HandoffOffered},
	"content":    {AgentMessage},
	"agent_name": {AgentJoined, AgentMessage},
}

// checker walks a syntax tree before it is compiled: names and fields against what the rule's `on` can have, and what
// an expression may not do at all. It stops at the first mistake.
type checker struct {
	on     []EventType
	known  map[string][]string
	locals []string // names that `let` gave
	fault  *fault
}

func check(tree ast.Node, on []EventType) *fault {
	c := &checker{on: on, known: seenBy(on).known}
	c.walk(tree, 0)
	return c.fault
}

func (c *checker) wrong(n ast.Node, hint, format string, args ...any) {
	if c.fault == nil {
		c.fault = &fault{index: n.Location().From, message: fmt.Sprintf(format, args...), hint: hint}
	}
}

// walk visits n and all below it; depth counts the predicates around it.
func (c *checker) walk(n ast.Node, depth int) {
	if n == nil || c.fault != nil {
		return
	}
	switch v := n.(type) {
	case *ast.IdentifierNode:
		c.name(v)
		return
	case *ast.MemberNode:
		c.member(v)
	case *ast.CallNode:
		if c.call(v) {
			for _, a := range v.Arguments {
				c.walk(a, depth)
			}
			return
		}
	case *ast.BuiltinNode:
		if slices.Contains(disabled, v.Name) {
			c.wrong(n, "", "the function %s is not available: rules read no time zones of the machine", v.Name)
		}
	case *ast.BinaryNode:
		c.pattern(v.Operator == "matches", v.Right)
	case *ast.PredicateNode:
		if depth++; depth > maxNesting {
			c.wrong(n, "", "predicates are at most %d within each other: more could keep a worker busy for ever", maxNesting)
		}
	case *ast.VariableDeclaratorNode:
		c.walk(v.Value, depth)
		if _, taken := c.known[v.Name]; taken || strings.HasPrefix(v.Name, "__") {
			c.wrong(n, "", "let can't redefine %s", v.Name)
		}
		c.locals = append(c.locals, v.Name)
		c.walk(v.Expr, depth)
		c.locals = c.locals[:len(c.locals)-1]
		return
	}
	for _, child := range children(n) {
		c.walk(child, depth)
	}
}

// name checks an identifier that stands for a value.
func (c *checker) name(n *ast.IdentifierNode) {
	if _, ok := c.known[n.Value]; ok || slices.Contains(c.locals, n.Value) {
		return
	}
	if strings.HasPrefix(n.Value, "$") {
		c.wrong(n, "", "%s is not available", n.Value)
		return
	}
	names := slices.Concat(slices.Collect(maps.Keys(c.known)), c.locals)
	hint := didYouMean(n.Value, names)
	if !strings.HasPrefix(hint, "did you") {
		for _, root := range []string{"event", "response", "turn", "conversation", "prompt"} {
			if slices.Contains(c.known[root], n.Value) {
				hint = fmt.Sprintf("did you mean %q?", root+"."+n.Value)
				break
			}
		}
	}
	c.wrong(n, hint, "unknown name %s", n.Value)
}

// member checks a field of one of the known names.
func (c *checker) member(n *ast.MemberNode) {
	property, constant := n.Property.(*ast.StringNode)
	if constant && property.Value == "Local" {
		c.wrong(n.Property, "", "Local is not available: rules don't know the machine's time zone")
	}
	root, ok := rootOf(n.Node)
	if !ok || slices.Contains(c.locals, root) {
		return
	}
	fields, ok := c.known[root]
	switch {
	case !ok:
	case !constant:
		c.wrong(n.Property, "", "a field of %s is named, not computed", root)
	case !slices.Contains(fields, property.Value):
		c.wrong(n.Property, didYouMean(property.Value, fields), "%s has no field %s", root, property.Value)
	case root == "event":
		c.available(n.Property, property.Value)
	}
}

func rootOf(n ast.Node) (string, bool) {
	if chain, ok := n.(*ast.ChainNode); ok {
		n = chain.Node
	}
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return "", false
	}
	return id.Value, true
}

// available reports a field of event that no type in `on` has: what reads it would always read nothing.
func (c *checker) available(at ast.Node, field string) {
	types, limited := has[field]
	if !limited || slices.ContainsFunc(c.on, func(t EventType) bool { return slices.Contains(types, t) }) {
		return
	}
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	on := make([]string, len(c.on))
	for i, t := range c.on {
		on[i] = string(t)
	}
	c.wrong(at, "", "event.%s is not there on %s: only on %s", field, strings.Join(on, ", "), strings.Join(names, " and "))
}

// call checks the call of a function by its name; it reports false for the call of a method.
func (c *checker) call(n *ast.CallNode) bool {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return false
	}
	if !slices.Contains(functionNames(), id.Value) {
		c.wrong(id, didYouMean(id.Value, functionNames()), "unknown function %s", id.Value)
	}
	if id.Value == "capture" && len(n.Arguments) == 2 {
		c.pattern(true, n.Arguments[1])
	}
	return true
}

// pattern checks a literal regular expression.
func (c *checker) pattern(isPattern bool, n ast.Node) {
	literal, ok := n.(*ast.StringNode)
	if !ok || !isPattern {
		return
	}
	if _, err := compilePattern(literal.Value); err != nil {
		c.wrong(n, "", "%v", err)
	}
}

// compilePattern compiles a regular expression (RE2 syntax) that is small enough to be run on any text.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 4<<10 {
		return nil, fmt.Errorf("the pattern is over 4 KiB")
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("bad pattern: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, fmt.Errorf("bad pattern: %w", err)
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("the pattern is too large: its repetitions come to %d steps, %d are allowed", len(program.Inst), maxPattern)
	}
	return regexp.Compile(pattern)
}

// children are the nodes right below n.
func children(n ast.Node) []ast.Node {
	switch v := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{v.Node}
	case *ast.BinaryNode:
		return []ast.Node{v.Left, v.Right}
	case *ast.ChainNode:
		return []ast.Node{v.Node}
	case *ast.MemberNode:
		return []ast.Node{v.Node, v.Property}
	case *ast.SliceNode:
		return []ast.Node{v.Node, v.From, v.To}
	case *ast.CallNode:
		return append([]ast.Node{v.Callee}, v.Arguments...)
	case *ast.BuiltinNode:
		return v.Arguments
	case *ast.PredicateNode:
		return []ast.Node{v.Node}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{v.Value, v.Expr}
	case *ast.SequenceNode:
		return v.Nodes
	case *ast.ConditionalNode:
		return []ast.Node{v.Cond, v.Exp1, v.Exp2}
	case *ast.ArrayNode:
		return v.Nodes
	case *ast.MapNode:
		return v.Pairs
	case *ast.PairNode:
		return []ast.Node{v.Key, v.Value}
	}
	return nil
}
