package ruletest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"dgworker/rules"
)

// ReadFixture reads a fixture. load compiles the rules that it names; its argument is "" if it names none. The error is
// rules.Problems for mistakes, those of the rules included, or what load returned.
func ReadFixture(name string, text []byte, load func(path string) (*rules.Set, error)) (*Fixture, error) {
	r := &fixtureReader{reader: newReader(name, text)}
	root := r.parse(text)
	if root == nil {
		return nil, r.problems
	}
	f := r.fields(root, "a fixture", "rules", "tests", "description")
	path := ""
	if n, there := f["rules"]; there {
		path = r.text(n, "rules")
	}
	var err error
	if r.set, err = load(path); err != nil {
		return nil, err
	}
	r.bots, r.rules = namesOf(r.set)
	fixture := &Fixture{Name: name}
	if n, there := f["tests"]; there {
		r.list(n, "tests", func(n ast.Node) { fixture.Tests = append(fixture.Tests, r.test(n)) })
	}
	if len(fixture.Tests) == 0 && len(r.problems) == 0 {
		r.problem(root, "", "a fixture has tests, and this one has none")
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b rules.Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, r.problems
	}
	return fixture, nil
}

func namesOf(set *rules.Set) (bots, names []string) {
	for _, b := range set.Bots() {
		bots = append(bots, b.Name)
	}
	for _, rule := range set.Rules() {
		names = append(names, rule.Name)
	}
	return bots, names
}

// fixtureReader reads tests against the rules that they are for, so that a rule that doesn't exist is found by its line.
type fixtureReader struct {
	*reader
	set         *rules.Set
	bots, rules []string
	start, now  time.Time // of the test that is read
}

var conversationKeys = []string{"prompt", "greeting", "events", "turns", "expect"}

func (r *fixtureReader) test(n ast.Node) *Test {
	line, _ := place(n)
	f := r.fields(n, "a test", append([]string{"name", "description", "start", "claimed", "conversations"}, conversationKeys...)...)
	t := &Test{Line: line, set: r.set, start: defaultStart}
	if v, there := f["name"]; there {
		t.Name = r.text(v, "name")
	} else {
		r.problem(n, "", "a test has a name")
	}
	if v, there := f["start"]; there {
		t.start = r.moment(v, "start", defaultStart)
	}
	r.start, r.now = t.start, t.start
	if v, there := f["claimed"]; there {
		r.list(v, "claimed", func(n ast.Node) { t.claimed = append(t.claimed, r.claim(n)) })
	}
	if v, there := f["conversations"]; there {
		r.conversations(v, f, t)
		return t
	}
	t.conversations = []*conversation{r.conversation(n, f, 0)}
	return t
}

func (r *fixtureReader) conversations(n ast.Node, f map[string]ast.Node, t *Test) {
	for _, key := range conversationKeys {
		if v, there := f[key]; there {
			r.problem(v, "put it into each of the conversations", "a test with conversations has no %s of its own", key)
		}
	}
	r.list(n, "conversations", func(n ast.Node) {
		f := r.fields(n, "a conversation", append([]string{"after", "at"}, conversationKeys...)...)
		r.move(f)
		t.conversations = append(t.conversations, r.conversation(n, f, len(t.conversations)))
	})
}

func (r *fixtureReader) claim(n ast.Node) (c claimed) {
	f := r.fields(n, "a claim", "rule", "until")
	if v, there := f["rule"]; there {
		c.rule = r.ruleName(v)
	} else {
		r.problem(n, "", "a claim has a rule")
	}
	if v, there := f["until"]; there {
		c.until = r.moment(v, "until", r.start)
	}
	return c
}

func (r *fixtureReader) ruleName(n ast.Node) string {
	return r.known(n, "rule", r.rules)
}

func (r *fixtureReader) known(n ast.Node, what string, names []string) string {
	s := r.text(n, what)
	for _, name := range names {
		if s == name {
			return s
		}
	}
	if s != "" {
		r.problem(n, rules.DidYouMean(s, names), "the rules have no %s %q", what, s)
	}
	return s
}

// conversation reads the index-th conversation of a test.
func (r *fixtureReader) conversation(n ast.Node, f map[string]ast.Node, index int) *conversation {
	c := &conversation{visitor: "visitor", prompt: rules.Prompt{ID: "test"}}
	if index > 0 {
		c.prompt.ID = fmt.Sprintf("test-%d", index+1)
	}
	r.prompt(f["prompt"], c)
	if c.prompt.Bot == "" {
		if len(r.bots) != 1 {
			r.problem(n, rules.DidYouMean("", r.bots), "the rules have %d bots: prompt.bot says which one is meant", len(r.bots))
		} else {
			c.prompt.Bot = r.bots[0]
		}
	}
	if v, there := f["greeting"]; there {
		c.greeting = r.events(v, "greeting")
	}
	events, one := f["events"]
	turns, several := f["turns"]
	switch {
	case one && several:
		r.problem(turns, "", "either events, which are one turn, or turns")
	case several:
		r.list(turns, "turns", func(n ast.Node) { c.turns = append(c.turns, r.turn(n)) })
	case one:
		c.turns = []turn{{events: r.events(events, "events")}}
	case len(c.greeting) == 0:
		r.problem(n, "", "there are no events: give events, or turns")
	}
	if v, there := f["expect"]; there {
		c.expect = r.expectation(v)
	} else {
		r.problem(n, "expect: {} expects that nothing fires", "nothing is expected")
	}
	return c
}

func (r *fixtureReader) prompt(n ast.Node, c *conversation) {
	if n == nil {
		return
	}
	f := r.fields(n, "a prompt", "id", "bot", "visitor_id", "content", "messages", "data", "headers")
	for key, into := range map[string]*string{"id": &c.prompt.ID, "visitor_id": &c.visitor, "content": &c.prompt.Content} {
		if v, there := f[key]; there {
			*into = r.text(v, key)
		}
	}
	if v, there := f["bot"]; there {
		c.prompt.Bot = r.known(v, "bot", r.bots)
	}
	if c.prompt.Content != "" {
		c.messages = []string{c.prompt.Content}
	}
	if v, there := f["messages"]; there {
		r.list(v, "messages", func(n ast.Node) { c.messages = append(c.messages, r.text(n, "messages")) })
	}
	if len(c.messages) > 0 {
		c.prompt.Content = c.messages[0]
	}
	if v, there := f["data"]; there {
		c.prompt.Data = r.value(v, "data")
	}
	if v, there := f["headers"]; there {
		c.prompt.Headers = r.texts(v, "headers")
	}
}

func (r *fixtureReader) turn(n ast.Node) (t turn) {
	f := r.fields(n, "a turn", "message", "after", "at", "events")
	r.move(f)
	if v, there := f["message"]; there {
		t.message = r.text(v, "message")
	}
	if v, there := f["events"]; there {
		t.events = r.events(v, "events")
	}
	return t
}

// move moves the clock as `after` or `at` say.
func (r *fixtureReader) move(f map[string]ast.Node) {
	after, relative := f["after"]
	at, absolute := f["at"]
	switch {
	case relative && absolute:
		r.problem(at, "", "either after or at")
	case relative:
		r.now = r.now.Add(r.duration(after, "after"))
	case absolute:
		t := r.moment(at, "at", r.start)
		if t.Before(r.now) {
			r.problem(at, "", "the clock can't go back: it is %s already", r.now.Format(rules.TimeFormat))
		}
		r.now = t
	}
}
