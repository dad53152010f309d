package ruletest_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"dgworker/rules"
	"dgworker/rules/ruletest"
)

const fixtureRules = `bots: {b: {key: k, max_turns: 3}, other: {key: k, on_handoff: wait}}
webhooks: {hook: {url: https://example.com/x, secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=}}
rules:
  - {name: two, on: agent_left, actions: [{publish: a.one, body: {n: 1, list: [1, {x: 2.0, y: z}]}}, {publish: a.two, headers: {X-A: b}, body: plain text}]}
  - {name: post, on: tool_action_result, when: 'event.tool == "t" && event.raw.cost > 5', actions: [{webhook: hook, method: PUT, path: "/x/{{ event.raw.cost }}", query: {q: "a b"}}]}
  - {name: answer, on: final_response, actions: [{reply: "You said {{ response.text }}"}]}
  - {name: broken, on: agent_message, when: prompt.data.missing.deep == 1, actions: [{publish: a.b}]}
  - {name: rest, on: agent_joined, cooldown: 1m, actions: [{publish: a.b}]}
  - {name: watch, on: handoff_offered, mode: shadow, actions: [{publish: a.b}]}
`

// runFixture runs the tests of a fixture's text and returns all that was not as expected.
func runFixture(t *testing.T, text string) string {
	t.Helper()
	f, err := ruletest.ReadFixture("f.yaml", []byte(text), func(string) (*rules.Set, error) { return parse(t, fixtureRules), nil })
	if err != nil {
		return err.Error()
	}
	var failures []string
	for _, test := range f.Tests {
		r := f.Run(context.Background(), test)
		failures = append(failures, r.Failures...)
	}
	return strings.Join(failures, "\n")
}

// one wraps the body of a single test.
func one(body string) string {
	return "tests:\n  - name: t\n    prompt: {bot: b}\n    " + strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n    ") + "\n"
}

func TestFixtureExpectations(t *testing.T) {
	t.Parallel()
	left := "events: [agent_left]\nexpect: {fired: %s}"
	for name, c := range map[string]struct{ text, want string }{
		"a rule's name stands for all of it":  {fmt.Sprintf(left, "[two]"), ""},
		"an entry for each action":            {fmt.Sprintf(left, `[{rule: two, publish: a.one}, {rule: two, action: publish, subject: a.two, body: plain text, headers: {x-a: b}}]`), ""},
		"numbers by value, keys in any order": {fmt.Sprintf(left, `[{rule: two, body: {list: [1.0, {y: z, x: 2}], n: 1}}, {rule: two, publish: a.two}]`), ""},
		"a part of a body":                    {fmt.Sprintf(left, `[{rule: two, body_has: {list: [1, {x: 2}]}}, {rule: two, publish: a.two}]`), ""},
		"entries find theirs in any order":    {fmt.Sprintf(left, `[{rule: two, action: publish}, {rule: two, subject: a.one}]`), ""},
		"one action of two": {fmt.Sprintf(left, `[{rule: two, publish: a.one}]`),
			"fired, and not expected: two (event 1, agent_left)\n    publish a.two\n    body plain text"},
		"a key too much in a body": {fmt.Sprintf(left, `[{rule: two, publish: a.one, body: {n: 1}}, {rule: two, publish: a.two}]`),
			"fired two, and not as expected (event 1, agent_left):\n    body.list: want nothing, got [1,{\"x\":2,\"y\":\"z\"}]"},
		"a key too few in a part": {fmt.Sprintf(left, `[{rule: two, publish: a.one, body_has: {m: 1}}, {rule: two, publish: a.two}]`),
			"fired two, and not as expected (event 1, agent_left):\n    body_has.m: want 1, got nothing"},
		"a header that isn't there": {fmt.Sprintf(left, `[{rule: two, publish: a.one, headers: {X-B: c}}, {rule: two, publish: a.two}]`),
			"fired two, and not as expected (event 1, agent_left):\n    headers.X-B: want \"c\", got nothing"},
		"text that differs": {fmt.Sprintf(left, `[{rule: two, publish: a.one}, {rule: two, publish: a.two, body: other}]`),
			"fired two, and not as expected (event 1, agent_left):\n    body: want \"other\", got \"plain text\""},
		"twice on two events": {"events: [agent_left, agent_left]\nexpect: {fired: [two, two]}", ""},
		"once too few": {"events: [agent_left, agent_left]\nexpect: {fired: [{rule: two, n: 2}]}",
			"fired, and not expected: two (event 1, agent_left)\n    publish a.one\n    body {\"n\":1,\"list\":[1,{\"x\":2,\"y\":\"z\"}]}\nfired, and not expected: two (event 1, agent_left)\n    publish a.two\n    body plain text"},
		"nothing may fire unless it is expected": {"events: [agent_left]\nexpect: {}",
			"fired, and not expected: two (event 1, agent_left)\n    publish a.one\n    body {\"n\":1,\"list\":[1,{\"x\":2,\"y\":\"z\"}]}\nfired, and not expected: two (event 1, agent_left)\n    publish a.two\n    body plain text"},
		"raw": {"events: [{type: tool_action_result, tool: t, status: done, raw: {cost: 7}}]\nexpect: {fired: [{rule: post, webhook: hook, method: PUT, path: /x/7, query: q=a+b}]}", ""},
		"why not": {"events: [{type: tool_action_result, tool: t, status: done, raw: {cost: 5}}]\nexpect: {fired: [post]}",
			"expected, and not there: fired post\n    event 1, tool_action_result: false: event.raw.cost > 5 → false (event.raw.cost = 5)"},
		"an error is not to be overlooked": {"events: [{type: agent_message, content: x}]\nexpect: {}",
			"errors, and not expected: broken (event 1, agent_message): when: prompt.data.missing.deep == 1: cannot fetch missing from <nil>"},
		"an error that is expected": {"events: [{type: agent_message, content: x}]\nexpect: {errors: [{rule: broken, reason: cannot fetch}]}", ""},
		"the clock moves": {"events: [agent_joined, {after: 59s, type: agent_joined}, {at: 60s, type: agent_joined}]\n" +
			"expect: {fired: [{rule: rest, n: 1}, {rule: rest, n: 3}], suppressed: [{rule: rest, why: cooldown, until: 1m}]}", ""},
		"suppressed is compared where it is given": {"events: [agent_joined, agent_joined]\nexpect: {fired: [rest], suppressed: []}",
			"suppressed, and not expected: rest (event 2, agent_joined): cooldown"},
		"another reason": {"events: [agent_joined, agent_joined]\nexpect: {fired: [rest], suppressed: [{rule: rest, why: once}]}",
			"suppressed rest, and not as expected (event 2, agent_joined):\n    why: want \"once\", got \"cooldown\""},
		"a claim of another's": {"claimed: [{rule: rest}]\nevents: [agent_joined]\nexpect: {suppressed: [{rule: rest, why: cooldown}]}", ""},
		"shadow":               {"events: [handoff_offered]\nexpect: {shadow: [watch]}", ""},
		"no shadow":            {"events: [handoff_offered]\nexpect: {shadow: []}", "shadow, and not expected: watch (event 1, handoff_offered)\n    publish a.b\n    body " + "…"},
		"replies make turns, up to max_turns": {"turns: [{events: [{type: final_response, text: a}]}, {events: [{type: final_response, text: b}]}, {events: [{type: final_response, text: c}]}]\n" +
			"expect: {fired: [{rule: answer, reply: You said a}, {rule: answer, text: You said b}], suppressed: [{rule: answer, why: max_turns, n: 3}]}", ""},
		"JSON text as a body": {fmt.Sprintf(left, `[{rule: two, body: '{"n":1,"list":[1,{"x":2,"y":"z"}]}'}, {rule: two, publish: a.two}]`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runFixture(t, one(c.text))
			if before, _, cut := strings.Cut(c.want, "…"); cut {
				if !strings.HasPrefix(got, before) {
					t.Errorf("got\n%s\nwant\n%s", got, c.want)
				}
			} else if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestFixtureMistakesHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":           "f.yaml:1:1: nothing here",
		"tests: ":    "f.yaml:1:1: tests has no value",
		"test: [{}]": `f.yaml:1:1: a fixture has no key "test"; did you mean "tests"?`,
		"tests: [{name: a, events: [agent_left], expect: {}}]":                              "f.yaml:1:9: the rules have 2 bots",
		"tests:\n  - prompt: {bot: b}\n    events: [agent_left]\n    expect: {}":            "f.yaml:2:5: a test has a name",
		"tests:\n  - {name: a, prompt: {bot: c}, events: [agent_left], expect: {}}":         `f.yaml:2:29: the rules have no bot "c"; did you mean "b"?`,
		one("events: [agent_let]\nexpect: {}"):                                              `f.yaml:4:14: type can't be "agent_let"; did you mean "agent_left"?`,
		one("events: [{type: final_response, txt: x}]\nexpect: {}"):                         `f.yaml:4:37: an event has no key "txt"; did you mean "text"?`,
		one("events: [{type: final_response, tool: x}]\nexpect: {}"):                        "f.yaml:4:43: an event of type final_response has no tool",
		one("events: [{type: tool_action_result, tool: x, status: ok}]\nexpect: {}"):        `f.yaml:4:58: status can't be "ok"`,
		one("events: [{type: agent_left, after: soon}]\nexpect: {}"):                        "f.yaml:4:40: after is a duration",
		one("events: [{type: agent_left, at: 5m}, {type: agent_left, at: 4m}]\nexpect: {}"): "f.yaml:4:65: the clock can't go back",
		one("events: [agent_left]\nexpect: {fired: [tow]}"):                                 `f.yaml:5:22: the rules have no rule "tow"; did you mean "two"?`,
		one("events: [agent_left]\nexpect: {fired: [{rule: two, publish: a.b, reply: x}]}"): "f.yaml:5:55: an action is one of webhook, publish and reply",
		one("events: [agent_left]\nexpect: {suppressed: [{rule: two, why: because}]}"):      `f.yaml:5:44: why can't be "because"`,
		one("events: [agent_left]\nturns: []\nexpect: {}"):                                  "f.yaml:5:12: either events",
		one("events: [agent_left]"):                                                         "nothing is expected; expect: {} expects that nothing fires",
		one("expect: {}"):                                                                   "there are no events",
		one("conversations: [{events: [agent_left], expect: {}}]"):                          "a test with conversations has no prompt of its own",
		"tests: [{name: a, name: b}]":                                                       `the key "name" is here twice, first on line 1`,
		"tests: [":                                                                          "this is not YAML",
		one("events: [agent_left]\nexpect: {fired: [*none]}"):                               "the alias *none comes before its anchor",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			got := runFixture(t, text)
			if !strings.Contains(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestFixturesMayShareByAnchors(t *testing.T) {
	t.Parallel()
	got := runFixture(t, `tests:
  - name: a
    prompt: &prompt {bot: b, data: {n: 1}}
    events: &events [agent_left]
    expect: {fired: [two]}
  - {name: b, prompt: *prompt, events: *events, expect: {fired: [two]}}
`)
	if got != "" {
		t.Error(got)
	}
}

// The example of the project has fixtures of its own, which are the first that users see.
func TestExampleFixtures(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ruletest.ReadFixture("example.yaml", text, func(path string) (*rules.Set, error) {
		if path != "../../rules.example.yaml" {
			return nil, errors.New("unexpected rules " + path)
		}
		return ruletest.ParseOffline([]rules.File{rules.Example()}, func(string) (string, bool) { return "", false })
	})
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, test := range f.Tests {
		if r := f.Run(context.Background(), test); r.Failed() {
			t.Errorf("%s:\n%s", r.Test, strings.Join(r.Failures, "\n"))
		}
	}
	for _, name := range []string{"refund-issued", "tool-failed", "refund-confirmed", "human-needed", "ask-again", "went-wrong"} {
		if used[name] = strings.Contains(string(text), name); !used[name] {
			t.Errorf("rule %s of the example has no fixture", name)
		}
	}
}

func TestJUnitReport(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := ruletest.WriteJUnit(&b, []ruletest.Result{
		{File: "a.yaml", Test: "one", Line: 3}, {File: "a.yaml", Test: "two <&>", Line: 9, Failures: []string{"fired x:\n    want \"1\""}},
		{File: "b.yaml", Test: "three", Line: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string  `xml:"name,attr"`
				Failure *string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tests != 3 || report.Failures != 1 || len(report.Suites) != 2 || report.Suites[0].Cases[1].Name != "two <&>" ||
		report.Suites[0].Cases[0].Failure != nil || *report.Suites[0].Cases[1].Failure != "fired x:\n    want \"1\"" {
		t.Errorf("report:\n%s", b.String())
	}
}
