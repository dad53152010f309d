package rules

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
)

// metering rewrites a syntax tree so that it pays for its work. It is a visitor that comes to children first.
type metering struct{}

// Visit implements ast.Visitor.
func (metering) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.PredicateNode:
		v.Node = &ast.SequenceNode{Nodes: []ast.Node{call("__tick", v.Node), v.Node}}
		inLoop(v.Node)
	case *ast.CallNode:
		if id, ok := v.Callee.(*ast.IdentifierNode); ok {
			callNode(n, v, id.Value)
		}
	case *ast.BuiltinNode:
		if !cheap[v.Name] {
			payAll(v.Arguments, false)
		}
	case *ast.BinaryNode:
		operator(n, v, false)
	}
}

// callNode meters the call of one of our functions.
func callNode(n *ast.Node, v *ast.CallNode, name string) {
	switch {
	case name == "now" && len(v.Arguments) == 0:
		ast.Patch(n, &ast.MemberNode{Node: &ast.IdentifierNode{Value: "event"}, Property: &ast.StringNode{Value: "at"}})
	case name == "uniq" && len(v.Arguments) == 1:
		payAll(v.Arguments, false)
		ast.Patch(n, call("__uniq", v, v.Arguments...))
	case name[0] != '_':
		payAll(v.Arguments, false)
		if growing[name] {
			at := *n
			*n = call("__pay", at, at)
		}
	}
}

// growing are the functions that make much out of little: what they made is paid for, too.
var growing = map[string]bool{"repeat": true, "replace": true, "join": true}

// operator meters an operation that makes a value larger or walks one.
func operator(n *ast.Node, v *ast.BinaryNode, loop bool) {
	switch v.Operator {
	case "+":
		if !isNumber(v.Left) && !isNumber(v.Right) {
			at := *n
			*n = call("__pay", at, at)
		}
	case "matches":
		if _, literal := v.Right.(*ast.StringNode); !literal {
			ast.Patch(n, call("__matches", v, v.Left, v.Right))
		} else {
			v.Left = paid(v.Left, loop)
		}
	case "==", "!=":
		if !isLiteral(v.Left) && !isLiteral(v.Right) {
			v.Left, v.Right = paid(v.Left, loop), paid(v.Right, loop)
		}
	case "in", "not in":
		v.Right = paid(v.Right, loop)
	case "contains", "startsWith", "endsWith", "<", ">", "<=", ">=":
		v.Left, v.Right = paid(v.Left, loop), paid(v.Right, loop)
	}
}

// inLoop meters the text that the body of a predicate looks at: outside of loops text needs no meter.
func inLoop(body ast.Node) {
	for _, child := range children(body) {
		inLoop(child)
	}
	switch v := body.(type) {
	case *ast.BuiltinNode:
		switch {
		case v.Name == "len": // it counts the characters of text
			v.Arguments[0] = call("__payText", v.Arguments[0], v.Arguments[0])
		case !cheap[v.Name]:
			payAll(v.Arguments, true)
		}
	case *ast.CallNode:
		if id, ok := v.Callee.(*ast.IdentifierNode); !ok || id.Value[0] != '_' {
			payAll(v.Arguments, true)
		}
	case *ast.SliceNode: // of text, it counts characters
		v.Node = paid(v.Node, true)
	case *ast.BinaryNode:
		if v.Operator != "+" {
			var same ast.Node = v
			operator(&same, v, true)
		}
	}
}

// cheap are the functions whose work doesn't depend on the size of what they get.
var cheap = map[string]bool{"len": true, "type": true, "get": true, "first": true, "last": true, "abs": true, "int": true,
	"float": true, "ceil": true, "floor": true, "round": true}

func payAll(arguments []ast.Node, texts bool) {
	for i := range arguments {
		arguments[i] = paid(arguments[i], texts)
	}
}

// paid puts a payment for its value around n, where that can be large.
func paid(n ast.Node, texts bool) ast.Node {
	if isNumber(n) || isLiteral(n) && (!texts || literalSize(n) <= smallLiteral) {
		return n
	}
	switch v := n.(type) {
	case *ast.PredicateNode:
		return n
	case *ast.CallNode:
		if id, ok := v.Callee.(*ast.IdentifierNode); ok && id.Value == "__pay" {
			return n
		}
	}
	switch kind := n.Type().Kind(); kind {
	case reflect.Bool:
		return n
	case reflect.String:
		if !texts {
			return n
		}
	}
	return call("__pay", n, n)
}

// smallLiteral is the size up to which a literal in a loop needs no meter: the loop pays for its turns.
const smallLiteral = 256

func literalSize(n ast.Node) int {
	switch v := n.(type) {
	case *ast.StringNode:
		return len(v.Value)
	case *ast.BytesNode:
		return len(v.Value)
	case *ast.ArrayNode:
		size := 0
		for _, x := range v.Nodes {
			size += 1 + literalSize(x)
		}
		return size
	}
	return 1
}

func isLiteral(n ast.Node) bool {
	switch v := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.BytesNode:
		return true
	case *ast.ArrayNode:
		for _, x := range v.Nodes {
			if !isLiteral(x) {
				return false
			}
		}
		return true
	}
	return false
}

func isNumber(n ast.Node) bool {
	switch n.Type().Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// call makes the call of a meter function at the place of a node.
func call(name string, at ast.Node, arguments ...ast.Node) ast.Node {
	callee := &ast.IdentifierNode{Value: name}
	n := &ast.CallNode{Callee: callee, Arguments: append([]ast.Node{theMeter(at)}, arguments...)}
	n.SetLocation(at.Location())
	return n
}

func theMeter(at ast.Node) ast.Node {
	m := &ast.IdentifierNode{Value: "__meter"}
	m.SetLocation(at.Location())
	return m
}
