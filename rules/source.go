package rules

import (
	"regexp"
	"strings"
)

// position is a place in a rules file; both count from 1, columns in characters.
type position struct{ line, column int }

// source is the text of one file by lines, for showing a mistake and for finding the place of a character of a scalar.
type source struct {
	name    string
	lines   [][]rune
	secrets []span
	unread  bool // its YAML could not be read, so it isn't known where secrets stand
}

// span is a stretch of one line that must not be shown.
type span struct{ line, from, to int }

func newSource(name, text string) *source {
	s := &source{name: name}
	for line := range strings.SplitSeq(text, "\n") {
		s.lines = append(s.lines, []rune(strings.TrimSuffix(line, "\r")))
	}
	return s
}

// line returns the characters of a line; nil for a line that doesn't exist.
func (s *source) line(n int) []rune {
	if n < 1 || n > len(s.lines) {
		return nil
	}
	return s.lines[n-1]
}

// at returns the character at p; the end of a line is '\n', the end of the file 0.
func (s *source) at(p position) rune {
	if p.line < 1 || p.line > len(s.lines) {
		return 0
	}
	line := s.lines[p.line-1]
	if p.column > len(line) {
		if p.line == len(s.lines) {
			return 0
		}
		return '\n'
	}
	return line[max(p.column, 1)-1]
}

// next returns the position after p.
func (s *source) next(p position) position {
	if p.column > len(s.line(p.line)) {
		return position{p.line + 1, 1}
	}
	return position{p.line, p.column + 1}
}

// confidential is what looks like a secret with its key, for lines of a file that could not be read.
var confidential = regexp.MustCompile(`(?i)((?:secret|\bkey|token|password|authorization|cookie|api-?key)[\w-]*"?\s*:\s*)([^\s,}][^,}]*)`)

var signingSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=_-]+`)

// masked returns a line for showing, with every secret in it as asterisks of the same length, so that columns stay.
func (s *source) masked(n int) string {
	line := append([]rune(nil), s.line(n)...)
	for _, m := range s.secrets {
		for i := m.from; m.line == n && i < m.to && i-1 < len(line); i++ {
			line[i-1] = '*'
		}
	}
	shown := string(line)
	if s.unread {
		for _, m := range confidential.FindAllStringSubmatchIndex(shown, -1) {
			shown = shown[:m[4]] + strings.Repeat("*", m[5]-m[4]) + shown[m[5]:]
		}
	}
	return signingSecret.ReplaceAllStringFunc(shown, func(m string) string {
		return "whsec_" + strings.Repeat("*", len(m)-len("whsec_"))
	})
}

// hide keeps the lines from p to the end of a scalar with that many lines from being shown: a secret may span some.
func (s *source) hide(p position, length, lines int) {
	s.secrets = append(s.secrets, span{p.line, p.column, p.column + length})
	for n := p.line + 1; n <= p.line+lines; n++ {
		s.secrets = append(s.secrets, span{n, 1, len(s.line(n)) + 1})
	}
}
