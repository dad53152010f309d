package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on what is read at all; they keep a file made to hurt from getting far.
const (
	maxFile  = 4 << 20 // bytes
	maxDepth = 64      // lists and maps within each other

	maxMessage = 1000 // bytes of what is said of one mistake
)

// Parse reads the files as one set. lookup reads the environment for ${NAME} in bots and webhooks; nil is an empty
// environment. Names must be unique across all files. If anything is wrong the error is a Problems with every mistake,
// and there is no Set.
func Parse(files []File, lookup func(name string) (string, bool)) (*Set, error) {
	p := &parser{
		lookup: lookup,
		set: &Set{
			version:  versionOf(files),
			files:    files,
			bots:     map[string]*Bot{},
			webhooks: map[string]*Webhook{},
		},
		ruleNames: map[string]string{},
		orders:    map[string]*expression{},
	}
	documents := make([]document, 0, len(files))
	for _, f := range files {
		if d, ok := p.read(f); ok {
			documents = append(documents, d)
		}
	}
	p.sections(documents)
	if len(p.problems) > 0 {
		return nil, p.finished()
	}
	p.set.index = newIndex(p.set.rules)
	return p.set, nil
}

// parser collects what the files say and every mistake in them.
type parser struct {
	src       *source
	lookup    func(string) (string, bool)
	settings  bool // in bots or webhooks, where ${NAME} reads the environment
	set       *Set
	ruleNames map[string]string      // name -> where
	orders    map[string]*expression // webhook -> its order
	anyType   bool                   // the rule's `on` is missing or wrong: what depends on it can't be judged
	problems  Problems
	sources   []*source // of problems, one each
}

// document is a file's YAML with its text.
type document struct {
	src  *source
	body ast.Node
}

func (p *parser) problem(at position, hint, format string, args ...any) {
	p.problems = append(p.problems, Problem{
		File: p.src.name, Line: at.line, Column: at.column,
		Message: clip(fmt.Sprintf(format, args...), maxMessage), Hint: clip(hint, maxMessage),
	})
	p.sources = append(p.sources, p.src)
}

// finished returns the problems with the lines they are on. These are taken last, when it is known where secrets stand.
func (p *parser) finished() Problems {
	for i := range p.problems {
		p.problems[i].Source = p.sources[i].masked(p.problems[i].Line)
	}
	return p.problems.sorted(p.set.files)
}

// read parses the YAML of one file. It reports false where there is nothing to go on with.
func (p *parser) read(f File) (document, bool) {
	content := strings.TrimPrefix(string(f.Text), "\uFEFF")
	p.src = newSource(f.Name, content)
	if len(content) > maxFile {
		p.problem(position{1, 1}, "", "the file is over %d MiB", maxFile>>20)
		return document{}, false
	}
	tokens := lexer.Tokenize(content)
	if at, deep := tooDeep(tokens, p.src); deep {
		p.problem(at, "", "more than %d lists and maps within each other", maxDepth)
		return document{}, false
	}
	file, err := parseTokens(tokens)
	if err != nil {
		p.syntax(err)
		return document{}, false
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) > 1 {
		p.problem(p.place(bodies[1]), "", "a second YAML document (after ---): a rules file is one document")
	}
	if len(bodies) == 0 {
		return document{src: p.src}, true
	}
	return document{p.src, bodies[0]}, true
}

// parseTokens turns a panic of the YAML library, which hostile files can provoke, into an error.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this is not YAML: %v", r)
		}
	}()
	return yamlparser.Parse(tokens, 0, yamlparser.AllowDuplicateMapKey())
}

// tooDeep reports where the nesting passes maxDepth: of brackets, or of indentation.
func tooDeep(tokens token.Tokens, src *source) (position, bool) {
	depth := 0
	var open []int // columns of block lists and maps that are open
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingValueType, token.MappingKeyType:
			for len(open) > 0 && open[len(open)-1] >= t.Position.Column {
				open = open[:len(open)-1]
			}
			open = append(open, t.Position.Column)
		}
		if depth > maxDepth || len(open) > 4*maxDepth {
			return position{t.Position.Line, min(t.Position.Column, len(src.line(t.Position.Line))+1)}, true
		}
	}
	return position{}, false
}

// syntax reports the one mistake that YAML itself found, and what people most likely meant.
func (p *parser) syntax(err error) {
	at, message := position{1, 1}, ""
	p.src.unread = true
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		message = err.Error()
	} else { // its Error() prints the whole file, in quadratic time
		message = "this is not YAML: " + syntax.GetMessage()
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			at = p.nearby(position{t.Position.Line, t.Position.Column})
		}
	}
	if where, m, hint := p.accident(at); hint != "" {
		p.problem(where, hint, "%s", m)
		return
	}
	p.problem(at, "", "%s", message)
}

// nearby moves a position that is off the file onto it.
func (p *parser) nearby(at position) position {
	at.line = min(max(at.line, 1), len(p.src.lines))
	at.column = min(max(at.column, 1), len(p.src.line(at.line))+1)
	return at
}

// sections reads bots and webhooks of all files before any triggers and rules, since these name them.
func (p *parser) sections(documents []document) {
	var rules []func()
	empty := len(documents) > 0
	for _, d := range documents {
		p.src = d.src
		if d.body == nil {
			continue
		}
		empty = false
		p.object(d.body, "a rules file", position{1, 1}, fields{
			"bots":     func(e entry) { p.inSettings(func() { p.bots(e) }) },
			"webhooks": func(e entry) { p.inSettings(func() { p.webhooks(e) }) },
			"triggers": func(e entry) { rules = append(rules, func() { p.src = d.src; p.triggers(e) }) },
			"rules":    func(e entry) { rules = append(rules, func() { p.src = d.src; p.rules(e) }) },
		})
	}
	if empty && len(p.problems) == 0 {
		p.src = documents[0].src
		p.problem(position{1, 1}, "", "nothing here: a rules file has bots, webhooks, triggers and rules")
	}
	for _, read := range rules {
		read()
	}
}

func (p *parser) inSettings(read func()) {
	p.settings = true
	defer func() { p.settings = false }()
	read()
}
