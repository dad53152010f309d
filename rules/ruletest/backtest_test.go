package ruletest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"testing"
	"time"

	"dgworker/rules"
)

func mustParse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const rulesHeader = "bots: {b: {key: k}}\nrules:\n"

// recorded makes the JSON of an outcome.
func recorded(t testing.TB, id string, at time.Time, turns ...map[string]any) []byte {
	t.Helper()
	n := 0
	for _, turn := range turns {
		for _, e := range turn["events"].([]map[string]any) {
			n++
			e["n"], e["at"] = n, at.Add(time.Duration(n)*time.Second)
		}
	}
	data, err := json.Marshal(map[string]any{
		"id": id, "bot": "b", "visitor_id": "v", "status": "completed", "turns": turns,
		"prompt": map[string]any{"content": "hello", "data": map[string]any{"n": 7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func event(kind rules.EventType, tool, status string) map[string]any {
	return map[string]any{"type": kind, "tool": tool, "status": status}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func all(records ...[]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestBacktest(t *testing.T) {
	t.Parallel()
	old := mustParse(t, rulesHeader+`
  - {name: same, on: tool_action_result, when: event.status == "done", actions: [{publish: x.same}]}
  - {name: gone, on: tool_action_result, when: event.status == "error", actions: [{publish: x.gone}]}
  - {name: body, on: tool_action_result, actions: [{publish: x.body, body: {v: 1}}]}
  - {name: ask, on: final_response, actions: [{reply: "Which?"}]}
`)
	candidate := mustParse(t, rulesHeader+`
  - {name: same, on: tool_action_result, when: event.status == "done", actions: [{publish: x.same}]}
  - {name: gone, on: tool_action_result, when: event.status == "never", actions: [{publish: x.gone}]}
  - {name: body, on: tool_action_result, actions: [{publish: x.body, body: {v: 2}}]}
  - {name: added, on: tool_action, cooldown: 1h, actions: [{publish: x.added}]}
  - {name: ask, on: final_response, actions: [{reply: "Which one?"}]}
`)
	turns := func() []map[string]any {
		return []map[string]any{{"message": "hello", "response": "Which?", "events": []map[string]any{
			event(rules.ToolAction, "t", "calling"), event(rules.ToolActionResult, "t", "done"),
			event(rules.ToolActionResult, "t", "error"), event(rules.FinalResponse, "", ""),
		}}, {"message": "that", "events": []map[string]any{event(rules.ToolActionResult, "t", "error")}}}
	}
	report, err := Backtest(t.Context(), old, candidate, all(
		recorded(t, "p1", start, turns()...), recorded(t, "p2", start.Add(time.Minute), turns()...),
	), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range report.Rules {
		got[r.Rule] = fmt.Sprintf("%d→%d new %d gone %d changed %d", r.Baseline, r.Candidate, r.New, r.Gone, r.Changed)
	}
	// What follows the changed reply is hypothetical: the second turn of neither outcome counts. The cooldown of added is
	// an hour, so of two outcomes a minute apart it fires in one.
	for rule, want := range map[string]string{
		"same": "2→2 new 0 gone 0 changed 0", "gone": "2→0 new 0 gone 2 changed 0", "body": "4→4 new 0 gone 0 changed 4",
		"added": "0→1 new 1 gone 0 changed 0", "ask": "2→2 new 0 gone 0 changed 2",
	} {
		if got[rule] != want {
			t.Errorf("rule %s: %s, want %s", rule, got[rule], want)
		}
	}
	if report.Diverged != 2 || report.Outcomes != 2 {
		t.Errorf("%d of %d outcomes diverged, want 2 of 2", report.Diverged, report.Outcomes)
	}
}

func TestBacktestBadRecord(t *testing.T) {
	t.Parallel()
	set := mustParse(t, rulesHeader+`  - {name: a, on: tool_action, actions: [{publish: x.y}]}`)
	if _, err := Backtest(t.Context(), set, set, all([]byte(`{"id":5}`)), nil); err == nil {
		t.Error("an outcome that can't be read was taken")
	}
}

// BenchmarkBacktest prints how long 100,000 outcomes take: go test -bench Backtest -benchtime 1x ./rules/ruletest
func BenchmarkBacktest(b *testing.B) {
	set, err := rules.Parse([]rules.File{rules.Example()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	record := recorded(b, "p", start, map[string]any{"message": "hello", "response": "Your refund has been issued.", "events": []map[string]any{
		event(rules.ToolAction, "issue_refund", "calling"), event(rules.ToolActionResult, "issue_refund", "done"), event(rules.FinalResponse, "", ""),
	}})
	const outcomes = 100_000
	for b.Loop() {
		report, err := Backtest(context.Background(), set, set, func(yield func([]byte, error) bool) {
			for range outcomes {
				if !yield(record, nil) {
					return
				}
			}
		}, nil)
		if err != nil || report.Outcomes != outcomes {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/100k")
}
