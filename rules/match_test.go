package rules

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExampleFires(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse([]File{{Name: "rules.example.yaml", Text: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(o *Occasion)) *Occasion {
		o := toolDone()
		f(o)
		return o
	}
	for _, c := range []struct {
		name string
		o    *Occasion
		want string
	}{
		{"refund", toolDone(), "refund-issued=fired"},
		{"failed tool", change(func(o *Occasion) { o.Event.Status, o.Event.Tool = "error", "check_stock" }), "tool-failed=fired"},
		{"handoff", change(func(o *Occasion) { o.Event = Event{Type: HandoffOffered} }), "human-needed=fired"},
		{"confirmed", change(func(o *Occasion) { o.Event = Event{Type: FinalResponse} }), "refund-confirmed=fired ask-again=false"},
		{"question", change(func(o *Occasion) { o.Event, o.Response.Text = Event{Type: FinalResponse}, "Which order is it?" }), "refund-confirmed=false ask-again=fired"},
		{"failure", change(func(o *Occasion) { o.Event, o.Conversation.Status = Event{Type: ConversationEnded}, "failed" }), "went-wrong=shadow"},
		{"success", change(func(o *Occasion) { o.Event, o.Conversation.Status = Event{Type: ConversationEnded}, "completed" }), ""},
	} {
		if got := results(decide(t, set, c.o)); got != c.want {
			t.Errorf("%s: decisions are %q, want %q", c.name, got, c.want)
		}
	}
	d := decide(t, set, toolDone())[0]
	if got, want := string(d.Actions[0].Body), `{"order":"A-1042","visitor":"v-1"}`; got != want {
		t.Errorf("body is %s, want %s", got, want)
	}
}

// rule writes a rule on tool_action_result with more keys.
func rule(name string, keys ...string) string {
	return "  - name: " + name + "\n    on: tool_action_result\n    actions: [{publish: a}]\n    " + strings.Join(keys, "\n    ") + "\n"
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	const broken = "when: prompt.data.nope.nope == 1"
	for _, c := range []struct {
		name  string
		rules string
		want  string
	}{
		{"no condition", rule("a"), "a=fired"},
		{"false", rule("a", "when: 1 > 2"), "a=false"},
		{"off", rule("a", "mode: off", broken), "a=off"},
		{"off, whatever the condition needs", rule("a", "mode: off", "when: event.tool == 'another'"), "a=off"},
		{"shadow", rule("a", "mode: shadow"), "a=shadow"},
		{"shadow and false", rule("a", "mode: shadow", "when: false"), "a=false"},
		{"other bot", rule("a", "bots: [sales]", broken), "a=other_bot"},
		{"this bot", rule("a", "bots: [sales, support]"), "a=fired"},
		{"other type", strings.Replace(rule("a"), "tool_action_result", "tool_action", 1), ""},
		{"an error harms no other", rule("a", broken) + rule("b"), "a=error b=fired"},
		{"not a condition", rule("a", "when: prompt.data.order_id") + rule("b"), "a=error b=fired"},
		{"the order of the file", rule("c", "when: turn.index == 0") + rule("b", "when: event.tool == 'issue_refund'") + rule("a", "when: prompt.bot == 'support'"), "c=fired b=fired a=fired"},
		{"backstop alone", rule("z", "backstop: true"), "z=fired"},
		{"backstop stands back", rule("z", "backstop: true") + rule("a"), "a=fired z=backstop"},
		{"backstop fires after false", rule("z", "backstop: true") + rule("a", "when: false"), "a=false z=fired"},
		{"backstop ignores shadow", rule("z", "backstop: true") + rule("a", "mode: shadow"), "a=shadow z=fired"},
		{"backstop ignores off and other bots", rule("z", "backstop: true") + rule("a", "mode: off") + rule("b", "bots: sales"), "a=off b=other_bot z=fired"},
		{"backstop after an error", rule("z", "backstop: true") + rule("a", broken), "a=error z=fired"},
		{"backstop whose condition is false", rule("z", "backstop: true", "when: false") + rule("a"), "a=fired z=false"},
		{"two backstops", rule("z", "backstop: true") + rule("y", "backstop: true"), "z=fired y=fired"},
		{"backstop in shadow", rule("z", "backstop: true", "mode: shadow"), "z=shadow"},
		{"a rule that once suppresses did match", rule("z", "backstop: true") + rule("fired-in-turn", "once: turn"), "fired-in-turn=once z=backstop"},
		{"once a turn", rule("a", "once: turn") + rule("fired-in-turn", "once: turn") + rule("fired-before", "once: turn"), "a=fired fired-in-turn=once fired-before=fired"},
		{"once a conversation", rule("a", "once: conversation") + rule("fired-in-turn", "once: conversation") + rule("fired-before", "once: conversation"), "a=fired fired-in-turn=once fired-before=once"},
		{"once a visitor, in this conversation", rule("fired-before", "once: visitor"), "fired-before=once"},
		{"false before once", rule("fired-before", "once: conversation", "when: false"), "fired-before=false"},
		{"shadow ignores once", rule("fired-before", "once: conversation", "mode: shadow"), "fired-before=shadow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := toolDone()
			o.FiredInTurn = func(r string) bool { return r == "fired-in-turn" }
			o.FiredInConversation = func(r string) bool { return strings.HasPrefix(r, "fired-") }
			ds := decide(t, parse(t, "rules:\n"+c.rules), o)
			if got := results(ds); got != c.want {
				t.Errorf("decisions are %q, want %q", got, c.want)
			}
			for _, d := range ds {
				if has := len(d.Actions) > 0; has != (d.Result == Fired || d.Result == Shadow) {
					t.Errorf("%s has %d actions", d.Result, len(d.Actions))
				}
				if (d.Reason != "") != (d.Result == Error) {
					t.Errorf("%s has the reason %q", d.Result, d.Reason)
				}
			}
		})
	}
}

// memory is Claims in a map. It also records what it was asked.
type memory struct {
	mu    sync.Mutex
	holds map[string]string
	asked []string
	err   error
	until time.Time
}

func (m *memory) Claim(_ context.Context, key, holder string, ttl time.Duration) (bool, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, fmt.Sprintf("%s %s", key, ttl))
	if m.err != nil {
		return false, time.Time{}, m.err
	}
	if by, held := m.holds[key]; held && by != holder {
		return false, m.until, nil
	}
	if m.holds == nil {
		m.holds = map[string]string{}
	}
	m.holds[key] = holder
	return true, time.Time{}, nil
}

func TestClaims(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 20, 10, 40, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		rule  string
		asked string // keys and times to live
		again string // what the next event gives
	}{
		{"cooldown with a key", rule("a", "cooldown: {for: 10m, key: conversation.visitor_id}"), "cooldown/a/v-1 10m0s", "a=cooldown"},
		{"cooldown of the rule", rule("a", "cooldown: {for: 10m}"), "cooldown/a/ 10m0s", "a=cooldown"},
		{"cooldown without a map", rule("a", "cooldown: 10m"), "cooldown/a/ 10m0s", "a=cooldown"},
		{"once a visitor", rule("a", "once: visitor"), "once/a/v-1 0s", "a=once"},
		{"both, the cooldown first", rule("a", "once: visitor", "cooldown: 1h"), "cooldown/a/ 1h0m0s once/a/v-1 0s", "a=cooldown"},
		{"shadow claims nothing", rule("a", "once: visitor", "cooldown: 1h", "mode: shadow"), "", "a=shadow"},
		{"false claims nothing", rule("a", "once: visitor", "when: turn.index > 5"), "", "a=false"},
		{"no claims needed", rule("a", "once: turn"), "", "a=fired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			claims := &memory{until: until}
			set := parse(t, "rules:\n"+c.rule)
			o := toolDone()
			o.Claims = claims
			first := results(decide(t, set, o))
			if got := strings.Join(claims.asked, " "); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
			if again := results(decide(t, set, o)); again != first {
				t.Errorf("the same event again gives %q, want %q: the holder is the same", again, first)
			}
			o.Occurrence++
			ds := decide(t, set, o)
			if got := results(ds); got != c.again {
				t.Errorf("the next event gives %q, want %q", got, c.again)
			}
			if ds[0].Result == Cooldown && !ds[0].Until.Equal(until) {
				t.Errorf("the cooldown ends at %v", ds[0].Until)
			}
		})
	}
}

func TestClaimsThatFail(t *testing.T) {
	t.Parallel()
	claims := &memory{err: errors.New("connection lost")}
	o := toolDone()
	o.Claims = claims
	set := parse(t, "rules:\n"+rule("a", "cooldown: 1h")+rule("b")+rule("c", "cooldown: {for: 1h, key: prompt.data.nope}"))
	ds := decide(t, set, o)
	if got, want := results(ds), "a=error b=fired c=error"; got != want {
		t.Fatalf("decisions are %q, want %q", got, want)
	}
	if got, want := ds[0].Reason, "cooldown: claim: connection lost"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
	if got, want := ds[2].Reason, "cooldown: prompt.data.nope: the value is nil (?? gives a default)"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
}

// An action that can't be rendered claims nothing, also if it is not the first.
func TestRenderErrorClaimsNothing(t *testing.T) {
	t.Parallel()
	claims := &memory{}
	o := toolDone()
	o.Claims = claims
	set := parse(t, "rules:\n  - name: a\n    on: tool_action_result\n    once: visitor\n    cooldown: 1h\n    actions: [{publish: a}, {publish: 'a.{{ prompt.data.nope }}'}]\n")
	ds := decide(t, set, o)
	if ds[0].Result != Error || !strings.HasPrefix(ds[0].Reason, "actions[1].publish: {{ prompt.data.nope }}: the value is nil") {
		t.Errorf("%+v", ds[0])
	}
	if len(claims.asked) > 0 {
		t.Errorf("it claimed %v", claims.asked)
	}
}

// A panic anywhere below a rule is that rule's error.
func TestPanicHarmsNoOtherRule(t *testing.T) {
	t.Parallel()
	o := toolDone()
	o.FiredInTurn = func(string) bool { panic("boom") }
	ds := decide(t, parse(t, "rules:\n"+rule("a", "once: turn")+rule("b")), o)
	if got, want := results(ds), "a=error b=fired"; got != want {
		t.Errorf("decisions are %q, want %q", got, want)
	}
}

func TestMatchAppends(t *testing.T) {
	t.Parallel()
	set := parse(t, "rules:\n"+rule("a"))
	into := make([]Decision, 1, 10)
	into[0].Rule = "before"
	if got := set.Match(context.Background(), toolDone(), into); len(got) != 2 || got[0].Rule != "before" || &got[0] != &into[0] {
		t.Errorf("%+v", got)
	}
}

// A Set is used by many conversations at once; run with -race.
func TestMatchConcurrently(t *testing.T) {
	t.Parallel()
	set := parse(t, "rules:\n"+rule("a", "when: capture(response.text, `is (.*)\\.`) == 'on its way'")+rule("b", "when: any(prompt.data.items, .sku == 's1')")+
		rule("c", "when: prompt.data.nope.nope"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, want := results(decide(t, set, toolDone())), "a=fired b=fired c=error"; got != want {
					t.Errorf("decisions are %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}
