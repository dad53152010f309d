package ruletest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dgworker/rules"
	"dgworker/rules/ruletest"
)

const explainRules = `bots: {b: {key: k, max_turns: 1}, other: {key: k}}
rules:
  - {name: booked, on: tool_action_result, when: 'event.tool == "t" && event.status == "done"', actions: [{publish: a.b}]}
  - {name: rest, on: tool_action_result, cooldown: 10m, actions: [{publish: a.b}]}
  - {name: first, on: tool_action_result, once: turn, actions: [{publish: a.b}]}
  - {name: ever, on: tool_action_result, once: visitor, actions: [{publish: a.b}]}
  - {name: watch, on: tool_action_result, mode: shadow, actions: [{publish: a.watch}]}
  - {name: out, on: tool_action_result, mode: off, actions: [{publish: a.b}]}
  - {name: foreign, on: tool_action_result, bots: [other], actions: [{publish: a.b}]}
  - {name: broken, on: tool_action_result, when: prompt.data.missing.deep == 1, actions: [{publish: a.b}]}
  - {name: else, on: tool_action_result, backstop: true, actions: [{publish: a.b}]}
  - {name: ask, on: final_response, actions: [{reply: More?}]}
`

// decided is a decision as an outcome records it.
func decided(e object, ds ...object) object {
	e["decisions"] = ds
	return e
}

func explained(t *testing.T, set *rules.Set, data []byte) *ruletest.Explanation {
	t.Helper()
	o, err := ruletest.ReadOutcome(data)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ruletest.Explain(context.Background(), set, o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestExplainSaysWhatBecameOfEveryRule(t *testing.T) {
	t.Parallel()
	set := parse(t, explainRules)
	until := start.Add(10 * time.Minute)
	data := record(t, "p1", start, object{"message": "hello", "response": "Bye.", "events": events{
		event(rules.ToolActionResult, "t", "done"),
		decided(event(rules.ToolActionResult, "t", "error"),
			object{"rule": "rest", "result": "cooldown", "until": until}, object{"rule": "ever", "result": "once"}),
		event(rules.FinalResponse, "", ""),
	}})
	var b strings.Builder
	if err := explained(t, set, data).Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `prompt p1 (bot b, visitor v): completed; rules version ` + set.Version() + `

event 1  tool_action_result  t: done  (00:00:01.000, turn 1)
  booked   fired      publish a.b
  rest     fired      publish a.b
  first    fired      publish a.b
  ever     fired      publish a.b
  watch    shadow     publish a.watch
  out      off        mode: off
  foreign  other bot  only for other
  broken   error      when: prompt.data.missing.deep == 1: cannot fetch deep from <nil>
  else     backstop   another live rule matched the event
  not for this type: ask

event 2  tool_action_result  t: error  (00:00:02.000, turn 1)
  booked   false      event.status == "done" → false (event.status = "error")
  rest     cooldown   until 2026-01-01T00:10:00.000Z
  first    once       fired before in this turn (once: turn)
  ever     once       fired before for this visitor (once: visitor)
  watch    shadow     publish a.watch
  out      off        mode: off
  foreign  other bot  only for other
  broken   error      when: prompt.data.missing.deep == 1: cannot fetch deep from <nil>
  else     backstop   another live rule matched the event
  not for this type: booked, rest
`
	got := b.String()
	if cut := strings.Index(want, "  not for this type: booked, rest"); !strings.HasPrefix(got, want[:cut]) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if last := `
event 3  final_response  "Bye."  (00:00:03.000, turn 1)
  ask  max_turns  the conversation has no turn left (max_turns)
  not for this type: booked, rest, first, ever, watch, out, foreign, broken, else
`; !strings.HasSuffix(got, last) {
		t.Errorf("got\n%s\nwant at the end\n%s", got, last)
	}
}

// What is recorded by the same rules outranks what is found now: the record may have been cut.
func TestExplainBelievesTheRecordOfTheSameRules(t *testing.T) {
	t.Parallel()
	set := parse(t, header+"  - {name: a, on: agent_message, when: event.content == \"all of it\", actions: [{publish: a.b}]}\n")
	fired := object{"rule": "a", "result": "fired", "actions": []object{{"id": "act_1", "rule": "a", "kind": "publish", "subject": "as.it.was"}}}
	data := func(version string) []byte {
		e := decided(event(rules.AgentMessage, "", ""), fired)
		e["content"] = "all"
		var o object
		if err := json.Unmarshal(record(t, "p1", start, object{"message": "hello", "events": events{e}}), &o); err != nil {
			t.Fatal(err)
		}
		o["rules_version"] = version
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	same := explained(t, set, data(set.Version())).Events[0].Rules[0]
	if same.Result != rules.Fired || same.Actions[0].Subject != "as.it.was" || same.Recorded != "" {
		t.Errorf("by the same rules: %+v", same)
	}
	x := explained(t, set, data("0123456789abcdef"))
	other := x.Events[0].Rules[0]
	if other.Result != rules.False || other.Recorded != rules.Fired || len(other.Clauses) != 1 {
		t.Errorf("by other rules: %+v", other)
	}
	if len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "are not those that decided (version 0123456789abcdef)") {
		t.Errorf("notes: %q", x.Notes)
	}
}

func TestExplainJSONHasClausesAndValues(t *testing.T) {
	t.Parallel()
	set := parse(t, header+"  - {name: a, on: tool_action_result, when: event.status == \"done\" && prompt.data.n > 9, actions: [{publish: a.b}]}\n")
	x := explained(t, set, record(t, "p1", start, object{"message": "hello", "events": events{event(rules.ToolActionResult, "t", "done")}}))
	got, err := json.Marshal(x.Events[0].Rules)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"rule":"a","result":"false","when":"event.status == \"done\" \u0026\u0026 prompt.data.n \u003e 9","clauses":[` +
		`{"clause":"event.status == \"done\"","result":true,"saw":{"event.status":"done"}},` +
		`{"clause":"prompt.data.n \u003e 9","result":false,"decisive":true,"saw":{"prompt.data.n":7}}]}]`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplainOnlyOneRule(t *testing.T) {
	t.Parallel()
	x := explained(t, parse(t, explainRules), record(t, "p1", start, object{"message": "hello", "events": events{
		event(rules.ToolActionResult, "t", "done"), event(rules.FinalResponse, "", ""),
	}}))
	x.Only("ask")
	if len(x.Events) != 1 || x.Events[0].Type != rules.FinalResponse || len(x.Events[0].Rules) != 1 {
		t.Errorf("events: %+v", x.Events)
	}
}

// TestFixtureFromOutcome plays rules, writes what they did into an outcome, makes a fixture of it, and runs that.
func TestFixtureFromOutcomePasses(t *testing.T) {
	t.Parallel()
	text := `bots: {b: {key: k}}
webhooks: {hook: {url: https://example.com/x, secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=}}
rules:
  - {name: post, on: tool_action_result, actions: [{webhook: hook, path: "/x/{{ event.tool }}", query: {q: "{{ event.status }}"}, headers: {X-A: "{{ prompt.id }}"}, body: {n: "{{ prompt.data.n }}", s: "{{ event.raw.odd }}"}}]}
  - {name: say, on: tool_action_result, once: turn, actions: [{publish: "a.{{ event.tool }}", body: "5 orders: #1 {x}"}, {publish: a.default}]}
  - {name: rest, on: tool_action_result, cooldown: 1h, actions: [{publish: a.b}]}
  - {name: broken, on: tool_action_result, when: prompt.data.missing.deep == 1, actions: [{publish: a.b}]}
  - {name: watch, on: conversation_ended, mode: shadow, actions: [{publish: a.b}]}
`
	set := parse(t, text)
	odd := "a: \"b\" # c\n'd' {{ e }} \u2028 é 😀 \t"
	result := func(tool string) object {
		e := event(rules.ToolActionResult, tool, "done")
		e["raw"] = object{"type": "tool_action_result", "tool": tool, "status": "done", "odd": odd, "n": 2.5}
		return e
	}
	turns := []object{{"message": odd, "response": odd, "message_id": "m1", "events": events{
		result("yes"), result("no"), event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"),
	}}}
	var o object
	if err := json.Unmarshal(record(t, "p 1", start, turns...), &o); err != nil {
		t.Fatal(err)
	}
	// The cooldown is somebody else's: it stood before.
	decisions := playedDecisions(t, set, o)
	for i, e := range o["turns"].([]any)[0].(object)["events"].([]any) {
		e.(object)["decisions"] = decisions[i]
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ruletest.ReadOutcome(data)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := ruletest.WriteFixture(&b, read, "rules.yaml"); err != nil {
		t.Fatal(err)
	}
	f, err := ruletest.ReadFixture("made.yaml", b.Bytes(), func(path string) (*rules.Set, error) { return set, nil })
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if r := f.Run(context.Background(), f.Tests[0]); r.Failed() {
		t.Errorf("%s\n\n%s", strings.Join(r.Failures, "\n"), b.String())
	}
	for _, part := range []string{"rule: post, n: 1", "/x/yes", "claimed:", "why: cooldown", "why: once", "reason: ", "shadow:\n"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("the fixture lacks %q:\n%s", part, b.String())
		}
	}
}

// held is a memory in which every cooldown is claimed by another.
type held struct{ until time.Time }

func (h held) Claim(_ context.Context, key, _ string, _ time.Duration) (bool, time.Time, error) {
	return !strings.HasPrefix(key, "cooldown/"), h.until, nil
}

// playedDecisions are what the worker's evaluator decides about the events of an outcome.
func playedDecisions(t *testing.T, set *rules.Set, o object) [][]rules.Decision {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ruletest.ReadOutcome(data)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Turns []struct {
			Events []rules.Seen `json:"events"`
		} `json:"turns"`
	}
	if err := json.Unmarshal(data, &seen); err != nil {
		t.Fatal(err)
	}
	s := rules.NewSession(rules.Prompt{ID: read.ID, Bot: read.Bot, Content: "hello", Data: object{"n": 7}}, read.VisitorID)
	s.BeginTurn(0, read.Turns[0].Message)
	var all [][]rules.Decision
	for _, e := range seen.Turns[0].Events {
		var response *rules.Response
		if e.Type == rules.FinalResponse {
			response = &rules.Response{Text: read.Turns[0].Response, MessageID: "m1"}
		}
		kept, _ := s.Put(context.Background(), set, held{start.Add(time.Hour)}, e.Event, response)
		all = append(all, kept.Decisions)
	}
	return all
}

func TestParseOfflineNeedsNoSecrets(t *testing.T) {
	t.Parallel()
	none := func(string) (string, bool) { return "", false }
	for name, c := range map[string]struct {
		text string
		want string // of the error, "" for none
	}{
		"everything from the environment": {`bots: {b: {key: "${KEY}", url: "${BOT_URL}", max_turns: "${TURNS}", settle: "${SETTLE}"}}
webhooks: {w: {url: "${HOOK_URL}", secret: ["${OLD}", "${NEW}"], timeout: "${TIMEOUT}", allow: ["${NET}"], headers: {Authorization: "Bearer ${TOKEN}"}}}
`, ""},
		"a default is kept":  {"bots: {b: {key: k, max_turns: \"${TURNS:7}\"}}\n", ""},
		"a host":             {"webhooks: {w: {url: \"https://${HOST}/x\", secret: \"${S}\"}}\nbots: {b: {key: k}}\n", ""},
		"a mistake is still": {"bots: {b: {key: \"${KEY}\", max_turn: 7}}\n", `bot b has no key "max_turn"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := ruletest.ParseOffline([]rules.File{{Name: "r.yaml", Text: []byte(c.text)}}, none)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "not set")):
				t.Errorf("error %v, want %s", err, c.want)
			case name == "a default is kept" && set.Bots()[0].MaxTurns != 7:
				t.Errorf("max_turns is %d", set.Bots()[0].MaxTurns)
			}
		})
	}
	set, err := ruletest.ParseOffline([]rules.File{{Name: "r.yaml", Text: []byte("bots: {b: {key: \"${KEY}\"}}\n")}}, func(name string) (string, bool) { return "given", name == "KEY" })
	if err != nil || set.Bots()[0].Key != "given" {
		t.Errorf("what is set is not used: %v", err)
	}
}

func TestMemoryHoldsClaimsOnItsClock(t *testing.T) {
	t.Parallel()
	m := ruletest.NewMemory()
	for i, c := range []struct {
		at      time.Duration
		key     string
		holder  string
		ttl     time.Duration
		granted bool
	}{
		{0, "cooldown/a/", "1", time.Minute, true},
		{0, "cooldown/a/", "1", time.Minute, true}, // one's own, decided again
		{59 * time.Second, "cooldown/a/", "2", time.Minute, false},
		{60 * time.Second, "cooldown/a/", "3", time.Minute, true},
		{30 * time.Second, "cooldown/a/", "4", time.Minute, false}, // recorded earlier, read later
		{0, "once/b/v", "5", 0, true},
		{8760 * time.Hour, "once/b/v", "6", 0, false},
		{0, "cooldown/c/", "7", time.Millisecond, true}, // NATS keeps no less than a second
		{500 * time.Millisecond, "cooldown/c/", "8", time.Millisecond, false},
	} {
		m.At(start.Add(c.at))
		granted, until, err := m.Claim(context.Background(), c.key, c.holder, c.ttl)
		if err != nil || granted != c.granted {
			t.Errorf("claim %d: granted %t, want %t (%v)", i, granted, c.granted, err)
		}
		if want := start.Add(time.Minute); i == 2 && !until.Equal(want) {
			t.Errorf("claim %d: until %s, want %s", i, until, want)
		}
	}
}

func FuzzReadFixture(f *testing.F) {
	f.Add(one("events: [agent_left]\nexpect: {fired: [two]}"))
	f.Add("tests: [{name: *a, events: &a [*a]}]")
	set := parse(f, fixtureRules)
	f.Fuzz(func(t *testing.T, text string) {
		fixture, err := ruletest.ReadFixture("f.yaml", []byte(text), func(string) (*rules.Set, error) { return set, nil })
		if err != nil {
			_ = fmt.Sprint(err)
			return
		}
		for _, test := range fixture.Tests {
			fixture.Run(context.Background(), test)
		}
	})
}
