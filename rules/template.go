package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// template is a string with placeholders. It is rendered in one pass: what a placeholder gives is never looked at for
// placeholders again.
type template struct {
	source string
	parts  []part
}

// part is literal text, or a placeholder where x is set.
type part struct {
	literal string
	x       *expression
}

// compileTemplate splits source into its parts and compiles them. The error's index is that of a character of source.
func compileTemplate(source string, on []EventType) (*template, *fault) {
	t := &template{source: source}
	rest, offset := source, 0
	add := func(literal string) {
		if literal != "" {
			t.parts = append(t.parts, part{literal: strings.ReplaceAll(literal, "$${", "${")})
		}
	}
	for {
		open := strings.Index(rest, "{{")
		if open < 0 {
			add(rest)
			return t, nil
		}
		add(rest[:open])
		start := offset + utf8.RuneCountInString(rest[:open+2])
		inner, ok := placeholder(rest[open+2:])
		if !ok {
			return nil, &fault{index: start - 2, message: "{{ without its }}"}
		}
		x, f := compile(inner, on, reflect.Invalid)
		if f != nil {
			f.index += start
			return nil, f
		}
		t.parts = append(t.parts, part{x: x})
		offset = start + utf8.RuneCountInString(inner) + 2
		rest = rest[open+2+len(inner)+2:]
	}
}

// placeholder returns the expression that s begins with: all up to the }} that closes it. Braces of the expression
// itself, and whatever stands in its strings, don't close it.
func placeholder(s string) (string, bool) {
	depth := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return s[:i], true
		}
	}
	return "", false
}

// whole returns the expression of a template that is nothing but one placeholder: it keeps its type.
func (t *template) whole() (*expression, bool) {
	var x *expression
	for _, p := range t.parts {
		switch {
		case p.x != nil && x == nil:
			x = p.x
		case p.x != nil || strings.TrimSpace(p.literal) != "":
			return nil, false
		}
	}
	return x, x != nil
}

// literal reports whether the template has no placeholder at all.
func (t *template) literal() bool {
	for _, p := range t.parts {
		if p.x != nil {
			return false
		}
	}
	return true
}

// first is the literal text that the template begins with.
func (t *template) first() string {
	if len(t.parts) == 0 {
		return ""
	}
	return t.parts[0].literal
}

// errTooLong is the error of a text that is over the limit of its place.
var errTooLong = errors.New("it is too long")

// render writes the template with every value escaped for its place. It stops as soon as limit bytes are passed.
func (t *template) render(e *evaluation, escape func(any) (string, error), limit int) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		s := p.literal
		if p.x != nil {
			v, err := e.run(p.x)
			if err != nil {
				return "", err
			}
			if s, err = escape(v); err != nil {
				return "", fmt.Errorf("{{ %s }}: %w", p.x.short(), err)
			}
		}
		if b.Len()+len(s) > limit {
			return "", fmt.Errorf("%w: over %s", errTooLong, sizeText(limit))
		}
		b.WriteString(s)
	}
	return b.String(), nil
}
