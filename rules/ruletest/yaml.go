package ruletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"dgworker/rules"
)

// reader reads YAML strictly: every key must be known, every value of its type, and every mistake is kept with its place.
type reader struct {
	file     string
	lines    []string
	problems rules.Problems
	anchors  map[string]ast.Node
}

func newReader(file string, text []byte) *reader {
	return &reader{file: file, lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), anchors: map[string]ast.Node{}}
}

// parse returns the one document of the file, or nil after a mistake.
func (r *reader) parse(text []byte) (root ast.Node) {
	defer func() {
		if p := recover(); p != nil { // files made to hurt can bring the YAML library to this
			r.at(1, 1, "", "this is not YAML: %v", p)
			root = nil
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, column, message := 1, 1, err.Error()
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			message = syntax.GetMessage()
			if t := syntax.GetToken(); t != nil && t.Position != nil {
				line, column = t.Position.Line, t.Position.Column
			}
		}
		r.at(line, column, "", "this is not YAML: %s", message)
		return nil
	}
	for _, d := range file.Docs {
		switch {
		case d.Body == nil:
		case root != nil:
			r.problem(d.Body, "", "a second YAML document (after ---): a fixture is one document")
		default:
			root = d.Body
		}
	}
	if root == nil && len(r.problems) == 0 {
		r.at(1, 1, "", "nothing here: a fixture has rules and tests")
	}
	return root
}

func (r *reader) at(line, column int, hint, format string, args ...any) {
	line = min(max(line, 1), len(r.lines))
	r.problems = append(r.problems, rules.Problem{
		File: r.file, Line: line, Column: max(column, 1), Message: fmt.Sprintf(format, args...), Source: r.lines[line-1], Hint: hint,
	})
}

func (r *reader) problem(n ast.Node, hint, format string, args ...any) {
	line, column := place(n)
	r.at(line, column, hint, format, args...)
}

// place is where a node starts; a block map starts at its first key.
func place(n ast.Node) (line, column int) {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return place(v.Values[0])
		}
	case *ast.MappingValueNode:
		return place(v.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1, 1
	}
	return n.GetToken().Position.Line, n.GetToken().Position.Column
}

// plain looks through anchors and aliases, so that fixtures can share a prompt.
func (r *reader) plain(n ast.Node) ast.Node {
	for range 100 { // an alias within its own anchor never ends
		switch v := n.(type) {
		case *ast.AnchorNode:
			r.anchors[v.Name.GetToken().Value] = v.Value
			n = v.Value
		case *ast.AliasNode:
			target, there := r.anchors[v.Value.GetToken().Value]
			if !there {
				r.problem(n, "", "the alias *%s comes before its anchor", v.Value.GetToken().Value)
				return nil
			}
			n = target
		default:
			return n
		}
	}
	r.problem(n, "", "aliases that go round in a circle")
	return nil
}

// fields returns the values of a map by their keys, all of which must be among known; what names the map in messages.
func (r *reader) fields(n ast.Node, what string, known ...string) map[string]ast.Node {
	pairs, _ := r.pairs(n, what)
	all := map[string]ast.Node{}
	for _, p := range pairs {
		key := p.Key.GetToken().Value
		if before, twice := all[key]; twice {
			line, _ := place(before)
			r.problem(p.Key, "", "the key %q is here twice, first on line %d", key, line)
			continue
		}
		switch {
		case !slices.Contains(known, key):
			r.problem(p.Key, rules.DidYouMean(key, known), "%s has no key %q", what, key)
		case isNothing(p.Value):
			r.problem(p.Key, "", "%s has no value", key)
		default:
			all[key] = p.Value
		}
	}
	return all
}

func isNothing(n ast.Node) bool { return n == nil || n.Type() == ast.NullType }

func (r *reader) pairs(n ast.Node, what string) ([]*ast.MappingValueNode, bool) {
	switch m := r.plain(n).(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	r.problem(n, "", "%s is a map of keys and values", what)
	return nil, false
}

// list calls each for every entry of a list.
func (r *reader) list(n ast.Node, what string, each func(ast.Node)) {
	seq, ok := r.plain(n).(*ast.SequenceNode)
	if !ok {
		r.problem(n, "", "%s is a list", what)
		return
	}
	for _, v := range seq.Values {
		if isNothing(v) {
			r.problem(seq, "", "%s has an entry without a value", what)
			continue
		}
		each(v)
	}
}

// isText says whether n is text.
func (r *reader) isText(n ast.Node) bool {
	switch r.plain(n).(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return true
	}
	return false
}

func (r *reader) text(n ast.Node, key string) string {
	switch v := r.plain(n).(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		r.problem(n, "quote this: '"+v.GetToken().Value+"'", "%s is text", key)
	default:
		r.problem(n, "", "%s is text", key)
	}
	return ""
}

// oneOf reads one of a few words.
func (r *reader) oneOf(n ast.Node, key string, words ...string) string {
	s := r.text(n, key)
	if s != "" && !slices.Contains(words, s) {
		r.problem(n, rules.DidYouMean(s, words), "%s can't be %q", key, s)
	}
	return s
}

// word is a scalar as it is written; "" for what is none.
func (r *reader) word(n ast.Node) string {
	if n = r.plain(n); n == nil {
		return ""
	}
	return n.GetToken().Value
}

func (r *reader) whole(n ast.Node, key string) int {
	i, err := strconv.Atoi(r.word(n))
	if _, isInt := r.plain(n).(*ast.IntegerNode); !isInt || err != nil || i < 1 {
		r.problem(n, "", "%s is a whole number from 1", key)
	}
	return i
}

// texts reads a map of text to text; numbers and booleans count as their text.
func (r *reader) texts(n ast.Node, key string) map[string]string {
	pairs, _ := r.pairs(n, key)
	all := map[string]string{}
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		switch v := r.plain(p.Value).(type) {
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			all[name] = v.GetToken().Value
		default:
			all[name] = r.text(p.Value, name)
		}
	}
	return all
}

// value reads any YAML as the JSON that it stands for, with numbers as rules see them.
func (r *reader) value(n ast.Node, key string) any {
	v, err := plainValue(r.plain(n))
	if err != nil {
		r.problem(n, "", "%s: %v", key, err)
	}
	return v
}

// plainValue goes by way of JSON, so that a fixture's data is what the same data is in a prompt.
func plainValue(n ast.Node) (any, error) {
	var v any
	if err := yaml.NodeToValue(n, &v, yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(jsonable(v)); err != nil {
		return nil, err
	}
	var a anything
	err := json.Unmarshal(b.Bytes(), &a)
	return a.value, err
}

func jsonable(v any) any {
	switch v := v.(type) {
	case yaml.MapSlice:
		m := make(map[string]any, len(v))
		for _, item := range v {
			m[fmt.Sprint(item.Key)] = jsonable(item.Value)
		}
		return m
	case []any:
		for i := range v {
			v[i] = jsonable(v[i])
		}
	}
	return v
}

// duration reads 500ms, 30s, 10m, 2h or 7d.
func (r *reader) duration(n ast.Node, key string) time.Duration {
	s := r.word(n)
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		r.problem(n, "", "%s is a duration such as 500ms, 30s, 10m, 2h or 7d, not %q", key, s)
	}
	return d
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * float64(24*time.Hour)), err
	}
	return time.ParseDuration(s)
}

// moment reads a time (RFC 3339), or a duration after start.
func (r *reader) moment(n ast.Node, key string, start time.Time) time.Time {
	s := r.word(n)
	if d, err := parseDuration(s); err == nil && d >= 0 {
		return start.Add(d)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.problem(n, "", "%s is a time such as 2026-12-01T08:00:00Z, or a duration after the start such as 10m, not %q", key, s)
		return start
	}
	return t.UTC()
}
