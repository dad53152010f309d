package dgbotsim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// ScriptError is a mistake in a script's YAML. Its text is "line:column: what is wrong" and the line itself, so that a
// caller only has to put the file's name and a colon before it.
type ScriptError struct {
	Line, Column int // from 1
	Problem      string
	Source       string // the line
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("%d:%d: %s\n    %s", e.Line, e.Column, e.Problem, e.Source)
}

// ParseScript reads a script. Unknown keys are mistakes. The error is one ScriptError, or several joined: YAML and keys
// stop at the first, values are all checked.
func ParseScript(b []byte) (Script, error) {
	var s Script
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return Script{}, scriptError(b, err)
	}
	if len(file.Docs) > 1 && file.Docs[1].Body != nil {
		return Script{}, mistakeAt(b, file.Docs[1].Body, "a second document: a script is one")
	}
	if err := yaml.UnmarshalWithOptions(b, &s, yaml.Strict()); err != nil {
		return Script{}, scriptError(b, err)
	}
	var errs []error
	for _, m := range s.mistakes() {
		errs = append(errs, mistakeAt(b, find(file, m.path), m.problem))
	}
	if len(errs) > 0 {
		return Script{}, errors.Join(errs...)
	}
	return s, nil
}

// scriptError puts a mistake that the YAML library found into our form.
func scriptError(src []byte, err error) error {
	var positioned yaml.Error
	if !errors.As(err, &positioned) || positioned.GetToken() == nil {
		return fmt.Errorf("parse script: %w", err)
	}
	at := positioned.GetToken().Position
	return newScriptError(src, at.Line, at.Column, positioned.GetMessage())
}

func mistakeAt(src []byte, n ast.Node, problem string) error {
	if n == nil || n.GetToken() == nil {
		return newScriptError(src, 1, 1, problem)
	}
	at := tokenOf(n).Position
	return newScriptError(src, at.Line, at.Column, problem)
}

// tokenOf returns where a reader sees a node begin: the library says that a mapping begins at its first colon.
func tokenOf(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

func newScriptError(src []byte, line, column int, problem string) *ScriptError {
	e := &ScriptError{Line: line, Column: column, Problem: problem}
	if lines := strings.Split(string(src), "\n"); line >= 1 && line <= len(lines) {
		e.Source = strings.TrimRight(lines[line-1], "\r")
	}
	return e
}

// find returns the node at a path such as $.replies[0].match, or the nearest above it that exists: a mistake may be that
// something is missing.
func find(file *ast.File, path string) ast.Node {
	for path != "" && path != "$" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(file); err == nil && n != nil {
				return n
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return nil
}

// decode is a step down into a node of its own. Errors of the library that have no position get that of the node.
func decode(n ast.Node, v any) error {
	err := yaml.NodeToValue(n, v, yaml.Strict())
	var positioned yaml.Error
	if err != nil && !errors.As(err, &positioned) {
		return &yaml.SyntaxError{Message: err.Error(), Token: tokenOf(n)}
	}
	return err
}

// stepNames are the keys of a step, in the order of Step's fields.
var stepNames = []string{
	"stream", "start", "chunk", "end", "tool", "handoff", "agent_joined", "agent_message", "agent_left",
	"wait", "drop", "close", "silence", "garbage", "raw",
}

// UnmarshalYAML reads a step: a mapping with one key. It is done by hand because most steps have a short form, and so
// that the error can list the steps there are.
func (s *Step) UnmarshalYAML(n ast.Node) error {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 {
		return &yaml.SyntaxError{
			Message: "a step is one key and its value, one of: " + strings.Join(stepNames, ", "),
			Token:   tokenOf(n),
		}
	}
	key, value := m.Values[0].Key, m.Values[0].Value
	name := key.GetToken().Value
	if !slices.Contains(stepNames, name) {
		return &yaml.SyntaxError{
			Message: fmt.Sprintf("unknown step %q: there are %s", name, strings.Join(stepNames, ", ")),
			Token:   key.GetToken(),
		}
	}
	return s.decodeValue(name, value)
}

func (s *Step) decodeValue(name string, v ast.Node) error {
	switch name {
	case "stream":
		s.Stream = new(Stream)
		return short(v, s.Stream, &s.Stream.Text)
	case "start":
		return text(v, &s.Start)
	case "chunk":
		s.Chunk = new(Chunk)
		return decode(v, s.Chunk)
	case "end":
		return text(v, &s.End)
	case "tool":
		s.Tool = new(Tool)
		return short(v, s.Tool, &s.Tool.Name)
	case "handoff":
		long := struct{ Message string }{}
		defer func() { s.Handoff = &long.Message }()
		return short(v, &long, &long.Message)
	case "agent_joined":
		long := struct{ Name string }{}
		defer func() { s.AgentJoined = &long.Name }()
		return short(v, &long, &long.Name)
	case "agent_message":
		s.AgentMessage = new(AgentMessage)
		return short(v, s.AgentMessage, &s.AgentMessage.Content)
	case "agent_left":
		return flag(v, &s.AgentLeft)
	case "wait":
		return decode(v, &s.Wait)
	case "drop":
		return decode(v, &s.Drop)
	case "close":
		s.Close = new(Close)
		return short(v, s.Close, &s.Close.Code)
	case "silence":
		return flag(v, &s.Silence)
	case "garbage":
		return decode(v, &s.Garbage)
	default: // raw
		return decode(v, &s.Raw)
	}
}

// short decodes a mapping into long and anything else into the one field that its short form stands for.
func short(v ast.Node, long, field any) error {
	if _, ok := v.(*ast.MappingNode); ok {
		return decode(v, long)
	}
	return decode(v, field)
}

func text(v ast.Node, to **string) error {
	*to = new(string)
	return decode(v, *to)
}

// flag reads a step without a value: nothing, or true.
func flag(v ast.Node, to *bool) error {
	if _, ok := v.(*ast.NullNode); ok {
		*to = true
		return nil
	}
	return decode(v, to)
}
