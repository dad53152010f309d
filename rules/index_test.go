package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// linear decides about all rules of the event's type, without the index.
func (s *Set) linear(ctx context.Context, o *Occasion) []Decision {
	var all []int32
	for i, r := range s.rules {
		if slices.Contains(r.On, o.Event.Type) {
			all = append(all, int32(i))
		}
	}
	return s.decide(ctx, o, all, nil)
}

// fires are the names of the rules that fired, in order.
func fires(ds []Decision) []string {
	var names []string
	for _, d := range ds {
		if d.Result == Fired || d.Result == Shadow {
			names = append(names, d.Rule+"="+string(d.Result))
		}
	}
	return names
}

// words are the values that random conditions and events draw from: few, so that they meet. The empty one is what a
// field has that its event's type doesn't fill.
var words = []string{"", "a", "b", "c"}

// comparison draws a part of a condition.
func comparison(t *rapid.T, depth int) string {
	field := rapid.SampledFrom([]string{"event.tool", "event.status", "event.type", "prompt.bot", "conversation.status",
		"conversation.visitor_id", "response.text", "turn.message", `event["tool"]`, "event?.tool", "prompt.data.k"}).Draw(t, "field")
	word := func() string {
		w := rapid.SampledFrom(append([]string{"tool_action", "support"}, words...)).Draw(t, "word")
		return fmt.Sprintf("%q", w)
	}
	if depth > 0 {
		left, right := comparison(t, depth-1), comparison(t, depth-1)
		switch rapid.IntRange(0, 8).Draw(t, "joined by") {
		case 0, 1:
			return "(" + left + " && " + right + ")"
		case 2, 3:
			return "(" + left + " || " + right + ")"
		case 4:
			return "(" + left + " and not (" + right + "))"
		case 5:
			return "(" + left + " or !(" + right + "))"
		case 6:
			return "(" + left + " ? " + right + " : " + left + ")"
		case 7:
			return "(" + left + " == (" + right + "))"
		}
	}
	switch rapid.IntRange(0, 7).Draw(t, "compared by") {
	case 0, 1:
		return field + " == " + word()
	case 2:
		return word() + " == " + field
	case 3:
		return field + " in [" + word() + ", " + word() + "]"
	case 4:
		return field + " not in [" + word() + "]"
	case 5:
		return field + " != " + word()
	case 6:
		return field + " == response.text"
	}
	return rapid.SampledFrom([]string{"true", "false", "turn.index == 0", "len(response.text) > 0", "prompt.data.k.k == 1"}).Draw(t, "other")
}

// manyRules draws a rules section.
func manyRules(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
		types := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"final_response", "tool_action_result"}), 0, 2, rapid.ID).Draw(t, "on")
		fmt.Fprintf(&b, "  - name: r%d\n    on: [%s]\n    actions: [{publish: a}]\n", i, strings.Join(append(types, "tool_action"), ", "))
		if rapid.Bool().Draw(t, "has a condition") {
			condition := comparison(t, rapid.IntRange(0, 3).Draw(t, "depth"))
			fmt.Fprintf(&b, "    when: '%s'\n", strings.ReplaceAll(condition, "'", "''"))
		}
		if rapid.IntRange(0, 4).Draw(t, "backstop") == 0 {
			b.WriteString("    backstop: true\n")
		}
		fmt.Fprintf(&b, "    mode: %s\n", rapid.SampledFrom([]string{"live", "live", "live", "shadow", "off"}).Draw(t, "mode"))
		if rapid.IntRange(0, 5).Draw(t, "for bots") == 0 {
			b.WriteString("    bots: [support]\n")
		}
	}
	return b.String()
}

func anyOccasion(t *rapid.T) *Occasion {
	o := toolDone()
	word := rapid.SampledFrom(words)
	o.Event.Type = rapid.SampledFrom([]EventType{ToolAction, ToolActionResult, FinalResponse}).Draw(t, "type")
	o.Event.Tool, o.Event.Status = "", ""
	if o.Event.Type != FinalResponse {
		o.Event.Tool, o.Event.Status = word.Draw(t, "tool"), word.Draw(t, "status")
	}
	o.Prompt.Bot = rapid.SampledFrom([]string{"a", "support"}).Draw(t, "bot")
	o.Prompt.Data = map[string]any{"k": word.Draw(t, "k")}
	o.Conversation.Status, o.Conversation.VisitorID = word.Draw(t, "conversation status"), word.Draw(t, "visitor")
	o.Response.Text, o.Turn.Message = word.Draw(t, "response"), word.Draw(t, "message")
	return o
}

// Index and linear scan fire the same rules in the same order, and the index evaluates nothing that the scan doesn't.
func TestIndexFiresWhatALinearScanFires(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := manyRules(rt)
		set, err := Parse([]File{{Name: "r.yaml", Text: []byte(settings + text)}}, nil)
		if err != nil {
			rt.Fatal(err)
		}
		for range 5 {
			o := anyOccasion(rt)
			indexed, linear := set.Match(context.Background(), o, nil), set.linear(context.Background(), o)
			if got, want := fires(indexed), fires(linear); !slices.Equal(got, want) {
				rt.Fatalf("the index fires %v, the scan %v, of\n%s", got, want, text)
			}
			byRule := map[string]Result{}
			for _, d := range linear {
				byRule[d.Rule] = d.Result
			}
			for _, d := range indexed {
				if byRule[d.Rule] != d.Result {
					rt.Fatalf("the index decides %s=%s, the scan %s", d.Rule, d.Result, byRule[d.Rule])
				}
			}
		}
	})
}

func TestIndexReadsConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		when string
		want string // "" if nothing can be read
	}{
		{`event.tool == "x"`, "event.tool=x"},
		{`"x" == event.tool`, "event.tool=x"},
		{`event.tool in ["x", "y"]`, "event.tool=x,y"},
		{`event.tool == "x" || event.tool == "y"`, "event.tool=x,y"},
		{`event.tool == "x" && response.text matches "a"`, "event.tool=x"},
		{`len(response.text) > 1 and (event.tool == "x")`, "event.tool=x"},
		{`event.tool == "x" && event.status == "done"`, "event.status=done event.tool=x"},
		{`(event.tool == "x" && event.status == "a") || (event.tool == "y" && prompt.bot == "b")`, "event.tool=x,y"},
		{`event.tool in ["x", "y"] && event.tool in ["y", "z"]`, "event.tool=y"},
		{`event.tool == "x" && event.tool == "y"`, "event.tool="},
		{`event["tool"] == "x"`, "event.tool=x"},
		{`event.tool == "x" || len(response.text) > 1`, ""},
		{`event.tool != "x"`, ""},
		{`!(event.tool == "x")`, ""},
		{`event.tool not in ["x"]`, ""},
		{`event.tool == response.text`, ""},
		{`event.tool in ["x", response.text]`, ""},
		{`event.tool == "x" ? true : false`, ""},
		{`prompt.data.k == "x"`, ""},
		{`turn.index == 1`, ""},
		{`let event2 = prompt; event2.id == "x"`, ""},
	} {
		x, f := compile(c.when, []EventType{ToolAction}, 1)
		if f != nil {
			t.Fatalf("%s: %+v", c.when, f)
		}
		var got []string
		for name, values := range needed(x.tree) {
			got = append(got, name+"="+strings.Join(values, ","))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s needs %v, want %s", c.when, got, c.want)
		}
	}
}

// manyTools is a set of n rules of which 3 match toolDone.
func manyTools(t testing.TB, n int) *Set {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		tool := fmt.Sprintf("tool_%d", i)
		if i < 3 {
			tool = "issue_refund"
		}
		fmt.Fprintf(&b, "  - name: r%d\n    on: tool_action_result\n    when: 'event.tool == \"%s\" && event.status == \"done\"'\n    actions: [{publish: a.b, body: {id: \"{{ prompt.id }}\"}}]\n", i, tool)
	}
	return parse(t, b.String())
}

// Rules that the index skips cost no allocation, and neither does an event that no rule can match.
func TestSkippedRulesAllocateNothing(t *testing.T) {
	set := manyTools(t, 1000)
	nothing := toolDone()
	nothing.Event.Tool = "another"
	into := make([]Decision, 0, 10)
	if n := testing.AllocsPerRun(100, func() { set.Match(context.Background(), nothing, into) }); n > 0 {
		t.Errorf("an event that nothing matches costs %v allocations", n)
	}
	few, many := manyTools(t, 10), set
	count := func(s *Set) float64 {
		return testing.AllocsPerRun(100, func() { s.Match(context.Background(), toolDone(), into) })
	}
	// A whole allocation for each skipped rule would be 1. The race detector makes pools forget at random, which is noise
	// of one or two in all.
	if a, b := count(few), count(many); (b-a)/990 > 0.05 {
		t.Errorf("10 rules cost %v allocations, 1,000 rules %v", a, b)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		set, o := manyTools(b, n), toolDone()
		into := make([]Decision, 0, 10)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ds := set.Match(context.Background(), o, into); len(ds) != 3 {
					b.Fatalf("%d decisions, want 3", len(ds))
				}
			}
		})
		b.Run(fmt.Sprintf("rules=%d/nothing-matches", n), func(b *testing.B) {
			o := toolDone()
			o.Event.Tool = "another"
			b.ReportAllocs()
			for b.Loop() {
				set.Match(context.Background(), o, into)
			}
		})
	}
}

// BenchmarkLinear is what BenchmarkMatch would be without the index.
func BenchmarkLinear(b *testing.B) {
	for _, n := range []int{10, 1_000} {
		set, o := manyTools(b, n), toolDone()
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			for b.Loop() {
				set.linear(context.Background(), o)
			}
		})
	}
}
