package ruletest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"dgworker/rules"
	"dgworker/rules/ruletest"
)

const header = "bots: {b: {key: k}, other: {key: k}}\nrules:\n"

func parse(t testing.TB, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type (
	object = map[string]any
	events = []object
)

func event(kind rules.EventType, tool, status string) object {
	return object{"type": kind, "tool": tool, "status": status}
}

// record makes the JSON of an outcome whose events are a second apart.
func record(t testing.TB, id string, at time.Time, turns ...object) []byte {
	t.Helper()
	n := 0
	for _, turn := range turns {
		for i, e := range turn["events"].(events) {
			n++
			e = maps.Clone(e)
			e["n"], e["at"] = n, at.Add(time.Duration(n)*time.Second)
			turn["events"].(events)[i] = e
		}
	}
	data, err := json.Marshal(object{
		"id": id, "bot": "b", "visitor_id": "v", "status": "completed", "turns": turns,
		"prompt": object{"content": "hello", "data": object{"n": 7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func records(list ...[]byte) iter.Seq2[ruletest.Record, error] {
	return func(yield func(ruletest.Record, error) bool) {
		for _, r := range list {
			if !yield(ruletest.Record{Data: r}, nil) {
				return
			}
		}
	}
}

func backtest(t testing.TB, before, after string, list ...[]byte) *ruletest.Report {
	t.Helper()
	b := ruletest.Backtest{Baseline: parse(t, header+before), Candidate: parse(t, header+after)}
	r, err := b.Run(context.Background(), records(list...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counted writes what a report counts for each rule.
func counted(r *ruletest.Report) string {
	var lines []string
	fired := func(s *ruletest.SideReport) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%d/%d/%d", s.Fired, s.Matched, s.Seen)
	}
	for _, x := range r.Rules {
		line := fmt.Sprintf("%s %s→%s", x.Rule, fired(x.Baseline), fired(x.Candidate))
		for _, n := range []struct {
			name string
			n    int
		}{{"new", x.New}, {"gone", x.Gone}, {"changed", x.Changed}, {"~new", x.Diverged.New}, {"~gone", x.Diverged.Gone}, {"~changed", x.Diverged.Changed}} {
			if n.n > 0 {
				line += fmt.Sprintf(" %s %d", n.name, n.n)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestBacktestCountsWhatDiffers(t *testing.T) {
	t.Parallel()
	turn := func() object {
		return object{"message": "hello", "response": "Done.", "events": events{
			event(rules.ToolAction, "t", "calling"), event(rules.ToolActionResult, "t", "done"), event(rules.ToolActionResult, "u", "error"),
			event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"),
		}}
	}
	r := backtest(t, `
  - {name: same, on: tool_action_result, when: event.status == "done", actions: [{publish: x.same}]}
  - {name: gone, on: tool_action_result, when: event.status == "error", actions: [{publish: x.gone}]}
  - {name: body, on: tool_action_result, actions: [{publish: x.body, body: {v: 1}}]}
  - {name: removed, on: tool_action, actions: [{publish: x.removed}]}
`, `
  - {name: added, on: tool_action, actions: [{publish: x.added}]}
  - {name: same, on: tool_action_result, when: event.status == "done", actions: [{publish: x.same}]}
  - {name: gone, on: tool_action_result, when: event.status == "never", actions: [{publish: x.gone}]}
  - {name: body, on: tool_action_result, actions: [{publish: x.body, body: {v: 2}}]}
  - {name: watched, on: final_response, mode: shadow, actions: [{publish: x.watched}]}
  - {name: elsewhere, on: final_response, bots: [other], actions: [{publish: x.y}]}
`, record(t, "p1", start, turn()), record(t, "p2", start.Add(time.Minute), turn()))
	want := `added -→2/2/2 new 2
same 2/2/4→2/2/4
gone 2/2/4→0/0/4 gone 2
body 4/4/4→4/4/4 changed 4
watched -→0/2/2
elsewhere -→0/0/0
removed 2/2/2→- gone 2`
	if got := counted(r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r.Outcomes != 2 || r.Events != 10 || r.New != 2 || r.Gone != 4 || r.Changed != 4 || r.DivergedOutcomes != 0 {
		t.Errorf("totals: %+v", r.Counts)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"gone     gone: prompt p1, event 3 tool_action_result (u: error)",
		`    candidate: false: event.status == "never" → false (event.status = "error")`,
		"    baseline: has no such rule",
		"    candidate: has no such rule",
		"    publish x.body: body.v: was 1, is 2",
		"matched nothing: gone (4 events)",
		"matched everything: added (2 events), body (4 events), watched (2 events)",
		"had no event of its types: elsewhere",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("the report lacks %q:\n%s", line, b.String())
		}
	}
}

func TestBacktestCountsApartWhatFollowsAChangedReply(t *testing.T) {
	t.Parallel()
	conversation := func(second string) []object {
		return []object{
			{"message": "hello", "response": "Which?", "events": events{event(rules.ToolActionResult, "t", "done"), event(rules.FinalResponse, "", "")}},
			{"message": second, "response": "Fine.", "events": events{
				event(rules.ToolActionResult, "t", "done"), event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"),
			}},
		}
	}
	tool := "  - {name: tool, on: tool_action_result, actions: [{publish: x.%s}]}\n  - {name: end, on: conversation_ended, actions: [{publish: x.%s}]}\n"
	ask := "  - {name: ask, on: %s, once: conversation, actions: [{reply: %q}]}\n"
	both := func(on, text, subject string) string {
		return fmt.Sprintf(ask, on, text) + fmt.Sprintf(tool, subject, subject)
	}
	for name, c := range map[string]struct{ before, after, want string }{
		"another reply": {both("final_response", "A", "one"), both("final_response", "B", "two"), `ask 1/2/2→1/2/2 changed 1
tool 2/2/2→2/2/2 changed 1 ~changed 1
end 1/1/1→1/1/1 ~changed 1`},
		"a reply in the middle of a turn is sent at its end": {both("final_response", "A", "one"), both("tool_action_result", "B", "two"), `ask 1/2/2→1/2/2 new 1 gone 1
tool 2/2/2→2/2/2 changed 1 ~changed 1
end 1/1/1→1/1/1 ~changed 1`},
		"the same reply by another rule's event": {both("final_response", "A", "one"), both("tool_action_result", "A", "two"), `ask 1/2/2→1/2/2 new 1 gone 1
tool 2/2/2→2/2/2 changed 2
end 1/1/1→1/1/1 changed 1`},
		"no reply any more": {both("final_response", "A", "one"), fmt.Sprintf(tool, "one", "two"), `tool 2/2/2→2/2/2
end 1/1/1→1/1/1 ~changed 1
ask 1/2/2→- gone 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := backtest(t, c.before, c.after, record(t, "p1", start, conversation("A")...))
			if got := counted(r); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestBacktestDivergesAtTheEndWhereAReplyIsNew(t *testing.T) {
	t.Parallel()
	r := backtest(t, "  - {name: end, on: conversation_ended, actions: [{publish: x.y}]}\n",
		"  - {name: ask, on: final_response, actions: [{reply: More?}]}\n  - {name: end, on: conversation_ended, actions: [{publish: x.z}]}\n",
		record(t, "p1", start, object{"message": "hello", "response": "Hi.", "events": events{
			event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"),
		}}))
	if want := "ask -→1/1/1 new 1\nend 1/1/1→1/1/1 ~changed 1"; counted(r) != want || r.DivergedOutcomes != 1 {
		t.Errorf("got\n%s\nwant\n%s", counted(r), want)
	}
}

// A rule that rests is simulated on the recorded clock, across outcomes and in their order, however many goroutines
// take part.
func TestBacktestSimulatesClaimsInOrder(t *testing.T) {
	t.Parallel()
	var list [][]byte
	for i := range 300 {
		list = append(list, record(t, fmt.Sprintf("p%d", i), start.Add(time.Duration(i)*time.Minute),
			object{"message": "hello", "events": events{event(rules.AgentLeft, "", "")}}))
	}
	before := "  - {name: rest, on: agent_left, cooldown: {for: 10m, key: conversation.visitor_id}, actions: [{publish: x.y}]}\n" +
		"  - {name: ever, on: agent_left, once: visitor, actions: [{publish: x.y}]}\n"
	after := strings.ReplaceAll(before, "10m", "30m")
	for _, workers := range []int{1, 7} {
		b := ruletest.Backtest{Baseline: parse(t, header+before), Candidate: parse(t, header+after), Workers: workers}
		r, err := b.Run(context.Background(), records(list...))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := counted(r), "rest 30/300/300→10/300/300 gone 20\never 1/300/300→1/300/300"; got != want {
			t.Errorf("%d workers: got\n%s\nwant\n%s", workers, got, want)
		}
		if why := fmt.Sprint(r.Rules[0].Examples[0].Why); !strings.Contains(why, "candidate: cooldown: until 2026-01-01T00:30:01.000Z") {
			t.Errorf("why: %s", why)
		}
	}
}

// The order in which goroutines finish changes nothing, the examples included.
func TestBacktestIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	var list [][]byte
	for i := range 1000 {
		list = append(list, record(t, fmt.Sprintf("p%d", i), start.Add(time.Duration(i)*time.Second), object{"message": "hello", "events": events{
			event(rules.ToolActionResult, fmt.Sprintf("tool%d", i%7), "done"), event(rules.AgentLeft, "", ""),
		}}))
	}
	before := "  - {name: a, on: tool_action_result, when: event.tool == \"tool1\", actions: [{publish: x.y}]}\n  - {name: b, on: agent_left, cooldown: 1m, actions: [{publish: x.y}]}\n"
	after := strings.NewReplacer("tool1", "tool2", "1m", "50s").Replace(before)
	var first *ruletest.Report
	for range 5 {
		r := backtest(t, before, after, list...)
		if first == nil {
			first = r
		}
		if !reflect.DeepEqual(r, first) {
			t.Fatalf("another report:\n%s\nfirst:\n%s", counted(r), counted(first))
		}
	}
}

func TestBacktestNamesTheRecordThatItCannotRead(t *testing.T) {
	t.Parallel()
	set := parse(t, header+`  - {name: a, on: tool_action, actions: [{publish: x.y}]}`)
	for want, r := range map[string]ruletest.Record{
		"outcome 1: read outcome":   {Data: []byte(`{"id":5}`)},
		"f.jsonl:7: read outcome":   {Data: []byte(`{"id":"x"`), File: "f.jsonl", Line: 7},
		"it has no id or no bot (a": {Data: []byte(`{}`), File: "f.jsonl", Line: 7},
	} {
		_, err := (ruletest.Backtest{Baseline: set, Candidate: set}).Run(context.Background(), func(yield func(ruletest.Record, error) bool) {
			yield(r, nil)
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Not even a candidate that never agrees makes memory grow with the number of outcomes.
func TestBacktestTakesConstantMemory(t *testing.T) {
	t.Parallel()
	before := parse(t, header+"  - {name: a, on: agent_left, cooldown: {for: 1m, key: prompt.id}, actions: [{publish: x.y}]}\n")
	after := parse(t, header+"  - {name: a, on: agent_left, cooldown: {for: 2m, key: prompt.id}, actions: [{publish: x.z}]}\n")
	heap := func(outcomes int) uint64 {
		_, err := (ruletest.Backtest{Baseline: before, Candidate: after}).Run(context.Background(), func(yield func(ruletest.Record, error) bool) {
			for i := range outcomes {
				data := record(t, fmt.Sprintf("p%d", i), start.Add(time.Duration(i)*time.Second), object{"message": "hello", "events": events{event(rules.AgentLeft, "", "")}})
				if !yield(ruletest.Record{Data: data}, nil) {
					return
				}
			}
			runtime.GC()
		})
		if err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	few, many := heap(1_000), heap(12_000)
	if many > few+6<<20 {
		t.Errorf("%d KiB after 1,000 outcomes, %d KiB after 12,000", few>>10, many>>10)
	}
}

// BenchmarkBacktest prints how long 100,000 outcomes take: go test -run - -bench Backtest -benchtime 1x ./rules/ruletest
func BenchmarkBacktest(b *testing.B) {
	set, err := rules.Parse([]rules.File{rules.Example()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	changed, err := rules.Parse([]rules.File{{Name: "candidate.yaml", Text: []byte(strings.ReplaceAll(string(rules.Example().Text), `"error"'`, `"never"'`))}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	pool := generated(b)
	const outcomes = 100_000
	for b.Loop() {
		report, err := (ruletest.Backtest{Baseline: set, Candidate: changed}).Run(context.Background(), func(yield func(ruletest.Record, error) bool) {
			for i := range outcomes {
				if !yield(ruletest.Record{Data: pool[i%len(pool)]}, nil) {
					return
				}
			}
		})
		if err != nil || report.Outcomes != outcomes || report.Gone == 0 {
			b.Fatal(report, err)
		}
	}
	size := 0
	for _, o := range pool {
		size += len(o)
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/100k")
	b.ReportMetric(float64(size)/float64(len(pool)), "B/outcome")
}

// generated makes a thousand outcomes as a back office has them: refunds, failing tools, handoffs, questions; with frames
// and recorded decisions, as the worker writes them.
func generated(t testing.TB) [][]byte {
	raw := func(e object) object {
		e["raw"] = object{"type": e["type"], "tool": e["tool"], "status": e["status"], "cost": 12.5}
		return e
	}
	fired := func(e object, rule string) object {
		body := strings.Repeat("x", 700)
		e["decisions"] = []object{{"rule": rule, "result": "fired", "actions": []object{{"id": "act_0", "rule": rule, "index": 0, "kind": "publish", "endpoint": "nats", "subject": "a.b", "body": []byte(body)}}}}
		return e
	}
	long := strings.Repeat("Let me see what I can do for you. ", 12)
	var pool [][]byte
	for i := range 1000 {
		at := start.Add(time.Duration(i) * 7 * time.Second)
		lookup := events{raw(event(rules.ToolAction, "lookup_order", "calling")), raw(event(rules.ToolActionResult, "lookup_order", "done"))}
		var list []object
		switch i % 4 {
		case 0:
			list = []object{{"message": "I want my money back", "response": long + "Your refund is on its way.", "events": append(lookup,
				raw(event(rules.ToolAction, "issue_refund", "calling")), fired(raw(event(rules.ToolActionResult, "issue_refund", "done")), "refund-issued"),
				fired(event(rules.FinalResponse, "", ""), "refund-confirmed"), event(rules.ConversationEnded, "", "completed"))}}
		case 1:
			list = []object{{"message": "Cancel it", "response": long, "events": append(lookup,
				raw(event(rules.ToolAction, "cancel", "calling")), fired(raw(event(rules.ToolActionResult, "cancel", "error")), "tool-failed"),
				event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"))}}
		case 2:
			list = []object{{"message": "A person, please", "response": long, "events": append(lookup,
				fired(raw(event(rules.HandoffOffered, "", "")), "human-needed"), event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "handoff"))}}
		default:
			list = []object{{"message": "Where is it?", "response": "Which order is it?", "events": events{event(rules.FinalResponse, "", "")}},
				{"message": "Order 7, please.", "response": long, "events": append(lookup, event(rules.FinalResponse, "", ""), event(rules.ConversationEnded, "", "completed"))}}
		}
		pool = append(pool, record(t, fmt.Sprintf("p%d", i), at, list...))
	}
	return pool
}
