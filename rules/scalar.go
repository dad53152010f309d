package rules

import "unicode/utf8"

// style is how a scalar is written in YAML; it decides which characters of the source make one of its value.
type style int

const (
	plain style = iota
	singleQuoted
	doubleQuoted
	block
)

// text is a scalar as a rules file has it, with the way back from each of its characters to the file.
type text struct {
	value    string
	src      *source
	start    position // of its first character, or of its quote or block indicator
	style    style
	expanded bool // the environment was put in: its characters are not those of the file
	secret   bool // must not be shown
}

// at returns the place of the index-th character of the value. Where the file can't be followed (the environment was
// put in) it is the scalar's start.
func (t text) at(index int) position {
	p := t.start
	if t.expanded {
		return p
	}
	switch t.style {
	case block:
		p = position{p.line + 1, 1}
	case singleQuoted, doubleQuoted:
		p = t.src.next(p)
	}
	n := 0
	for _, r := range t.value {
		at, after, ok := t.find(p, r)
		if !ok {
			return t.start
		}
		if n == index {
			return at
		}
		p = after
		n++
	}
	return p
}

// find returns where the value's next character r stands, at or after p, and what follows it. White space that YAML
// drops (indentation, folding) is passed over.
func (t text) find(p position, r rune) (at, after position, ok bool) {
	for {
		c := t.src.at(p)
		switch {
		case c == 0:
			return p, p, false
		case t.style == doubleQuoted && c == '\\':
			next := t.src.next(p)
			if t.src.at(next) == '\n' {
				p = t.src.next(next)
				continue
			}
			return p, t.afterEscape(next), true
		case t.style == singleQuoted && c == '\'':
			return p, t.src.next(t.src.next(p)), true
		case c == r, r == ' ' && c == '\n':
			return p, t.src.next(p), true
		case c == ' ' || c == '\t' || c == '\n':
			p = t.src.next(p)
		default:
			return p, p, false
		}
	}
}

// afterEscape passes over the rest of an escape sequence whose letter stands at p.
func (t text) afterEscape(p position) position {
	digits := map[rune]int{'x': 2, 'u': 4, 'U': 8}[t.src.at(p)]
	p = t.src.next(p)
	for range digits {
		p = t.src.next(p)
	}
	return p
}

// cut returns what a comment took off the end of a plain scalar: YAML reads " #" as the start of one. "" for none.
func (t text) cut() string {
	if t.style != plain || t.expanded {
		return ""
	}
	p := t.at(utf8.RuneCountInString(t.value))
	line := t.src.line(p.line)
	for i := max(p.column-1, 0); i < len(line); i++ {
		switch line[i] {
		case ' ', '\t':
		case '#':
			return string(line[i:])
		default:
			return ""
		}
	}
	return ""
}

// quoted is the whole of what people wrote as a plain scalar on one line, the comment included, in single quotes.
func (t text) quoted() string {
	return quote(string(t.src.line(t.start.line)[t.start.column-1:]))
}
