package rules

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// explain says why the rule with this condition did what it did on an event that has all.
func explain(t *testing.T, when string) Account {
	t.Helper()
	set := parse(t, "rules:\n  - {name: r, on: tool_action_result, when: "+quote(when)+", actions: [{publish: a.b}]}\n")
	o := toolDone()
	s := NewSession(o.Prompt, "v-1")
	s.BeginTurn(0, o.Turn.Message)
	_, accounts := NewExplainer(set).Put(context.Background(), s, nil, o.Event, nil)
	return accounts[0]
}

func blamed(a Account) string {
	var all []string
	for _, c := range a.Clauses {
		if !c.Decisive {
			continue
		}
		text := c.Text
		if c.Error != "" {
			text += " !"
		}
		for _, s := range c.Saw {
			text += fmt.Sprintf(" [%s = %s]", s.Name, s.Value)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func TestExplainNamesTheClauseThatWasFalse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ when, result, want string }{
		{`event.tool == "issue_refund" && event.status == "error"`, "false", `event.status == "error" [event.status = "done"]`},
		{`event.tool == "x" and event.status == "error"`, "false",
			`event.tool == "x" [event.tool = "issue_refund"]; event.status == "error" [event.status = "done"]`},
		{`event.status == "error" || event.tool == "x"`, "false",
			`event.status == "error" [event.status = "done"]; event.tool == "x" [event.tool = "issue_refund"]`},
		{`event.status == "done" && (event.tool == "x" || prompt.data.amount < 3)`, "false",
			`event.tool == "x" [event.tool = "issue_refund"]; prompt.data.amount < 3 [prompt.data.amount = 1000000]`},
		{`not (event.status == "done" && event.tool == "issue_refund")`, "false",
			`not (event.status == "done") [event.status = "done"]; not (event.tool == "issue_refund") [event.tool = "issue_refund"]`},
		{`!(event.status == "x" || event.tool == "issue_refund")`, "false",
			`not (event.tool == "issue_refund") [event.tool = "issue_refund"]`},
		{`event.tool not in ["issue_refund", "b"]`, "false", `event.tool not in ["issue_refund", "b"] [event.tool = "issue_refund"]`},
		{`not not (event.tool == 'x')`, "false", `event.tool == "x" [event.tool = "issue_refund"]`},
		{`!conversation.handed_off && conversation.turns > 3`, "false", `conversation.turns > 3 [conversation.turns = 1]`},
		{`conversation.handed_off`, "false", `conversation.handed_off [conversation.handed_off = false]`},
		{`"lookup" in turn.tools && turn.tools.lookup == "done"`, "false",
			`"lookup" in turn.tools [turn.tools = {"issue_refund":"done"}]; turn.tools.lookup == "done" [turn.tools.lookup = ""]`},
		{`len(event.tool) > 100`, "false", `len(event.tool) > 100 [len(event.tool) = 12] [event.tool = "issue_refund"]`},
		{`any(prompt.data.items, .n > 5)`, "false", `any(prompt.data.items, .n > 5) [prompt.data.items = [{"n":2,"sku":"s1"}]]`},
		{`let total = prompt.data.amount * 2; total < 10 && event.status == "done"`, "false", `total < 10 [total = 2000000]`},
		{`prompt.data?.missing?.deep == 1`, "false", `prompt.data?.missing?.deep == 1 [prompt.data?.missing?.deep = null]`},
		{`event.tool matches "^lookup\\d"`, "false", `event.tool matches "^lookup\\d" [event.tool = "issue_refund"]`},
		{`prompt.data[event.status] == 1`, "false", `prompt.data[event.status] == 1 [prompt.data[event.status] = null] [event.status = "done"]`},
		{`event.status == "error" && prompt.data.missing.deep == 1`, "false", `event.status == "error" [event.status = "done"]`},
		{`event.status == "done" ? conversation.turns > 5 : true`, "false",
			`event.status == "done" ? conversation.turns > 5 : true [event.status = "done"] [conversation.turns = 1]`},
		{`prompt.data.missing.deep == 1 && event.tool == "x"`, "false", `event.tool == "x" [event.tool = "issue_refund"]`}, // the index knows
		{`event.at > now()`, "false", `event.at > now() [event.at = "2026-11-20T10:30:00.123Z"] [now() = "2026-11-20T10:30:00.123Z"]`},
		{`event.status == "done"`, "fired", ``},
		{`prompt.data.missing.deep == 1`, "error", ``},
	} {
		t.Run(c.when, func(t *testing.T) {
			t.Parallel()
			a := explain(t, c.when)
			if string(a.Result) != c.result {
				t.Errorf("result %s %s, want %s", a.Result, a.Reason, c.result)
			}
			if got := blamed(a); got != c.want {
				t.Errorf("blamed\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestExplainAccountsForEveryRule(t *testing.T) {
	t.Parallel()
	set := parse(t, `rules:
  - {name: elsewhere, on: agent_left, actions: [{publish: a.b}]}
  - {name: resting, on: tool_action_result, mode: off, when: 'event.tool == "x"', actions: [{publish: a.b}]}
  - {name: of-sales, on: tool_action_result, bots: [sales], when: 'event.tool == "x"', actions: [{publish: a.b}]}
  - {name: skipped, on: tool_action_result, when: 'event.tool == "x"', actions: [{publish: a.b}]}
  - {name: watching, on: tool_action_result, mode: shadow, actions: [{publish: a.b}]}
  - {name: wrong, on: tool_action_result, when: 'prompt.data.missing.deep', actions: [{publish: a.b}]}
  - {name: first, on: tool_action_result, once: turn, actions: [{publish: a.b}]}
  - {name: else, on: tool_action_result, backstop: true, actions: [{publish: a.b}]}
`)
	o := toolDone()
	s := NewSession(o.Prompt, "v-1")
	x := NewExplainer(set)
	x.Put(context.Background(), s, nil, o.Event, nil)
	_, accounts := x.Put(context.Background(), s, nil, o.Event, nil)
	got := ""
	for _, a := range accounts {
		got += fmt.Sprintf("%s=%s ", a.On.Name, a.Result)
	}
	want := "elsewhere=other_event resting=off of-sales=other_bot skipped=false watching=shadow wrong=error first=once else=backstop "
	if got != want {
		t.Errorf("accounts\n got %s\nwant %s", got, want)
	}
}
