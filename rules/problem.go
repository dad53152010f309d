package rules

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a rules file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Message string `json:"message"`
	Source  string `json:"source,omitempty"` // the offending line, its secrets masked; "" where there is none
	Hint    string `json:"hint,omitempty"`   // what to do: `did you mean "…"?`, `quote this: …`; "" where nothing better can be said
}

// String gives the mistake as people read it: `file:line:column: what is wrong`, the line, and a caret under the column.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	if p.Source != "" {
		line, column := shown(p.Source, p.Column)
		fmt.Fprintf(&b, "\n    %s\n    %s^", line, strings.Repeat(" ", column-1))
	}
	return b.String()
}

// shown prepares a line for a terminal: tabs and control characters become spaces, so that the caret stands right, and
// a very long line is cut around the column.
func shown(line string, column int) (string, int) {
	const width = 160
	runes := []rune(line)
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = ' '
		}
	}
	column = min(max(column, 1), len(runes)+1)
	if cut := column - width/2; len(runes) > width && cut > 0 {
		runes, column = runes[cut:], column-cut
	}
	if len(runes) > width {
		runes = append(runes[:width:width], '…')
	}
	return strings.TrimRight(string(runes), " "), column
}

// Problems is the error of Parse: all mistakes, in the order of the files and of their lines.
type Problems []Problem

// Error gives all mistakes, one after the other.
func (ps Problems) Error() string {
	all := make([]string, len(ps))
	for i, p := range ps {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// sorted puts the problems into the order of files, lines and columns, each once.
func (ps Problems) sorted(files []File) Problems {
	rank := make(map[string]int, len(files))
	for i, f := range files {
		if _, seen := rank[f.Name]; !seen {
			rank[f.Name] = i
		}
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if d := rank[a.File] - rank[b.File]; d != 0 {
			return d
		}
		if d := a.Line - b.Line; d != 0 {
			return d
		}
		return a.Column - b.Column
	})
	return slices.Compact(ps)
}
