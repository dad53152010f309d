package worker

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"dgworker/rules"
)

const stateRules = `
bots: {support: {key: k, max_transcript: 1KiB}}
rules:
  - {name: first, on: tool_action, actions: [{reply: one}]}
  - {name: second, on: tool_action, actions: [{reply: two}]}
`

func fold(t *testing.T, bot *rules.Bot, messages []string, records ...Record) *State {
	t.Helper()
	p := &Prompt{Prompt: rules.Prompt{ID: "p", Bot: "support", Content: messages[0]}, Messages: messages}
	s := NewState(p, "visitor", compiled(t, stateRules), bot)
	for i := range records {
		s.Apply(&records[i], uint64(10+i))
	}
	return s
}

func someBot() *rules.Bot {
	return &rules.Bot{Name: "support", OnHandoff: "end", Resend: "unobserved", ResumeWait: time.Minute, MaxTurns: 10, MaxTranscript: 1024}
}

func sent(turn int, message string) Record {
	return Record{At: arrived, Sent: &Sent{Turn: turn, Message: message, VisitorID: "visitor"}}
}

func saw(events ...rules.Seen) Record { return Record{At: arrived, Seen: events} }

func event(n int, typ rules.EventType, decisions ...rules.Decision) rules.Seen {
	return rules.Seen{N: n, Event: rules.Event{Type: typ, Tool: "lookup", Status: "calling", At: arrived}, Decisions: decisions}
}

func replied(rule, text string) rules.Decision {
	return rules.Decision{Rule: rule, Result: rules.Fired, Actions: []rules.Action{{ID: "act-" + text, Rule: rule, Kind: rules.KindReply, Text: text}}}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	until := arrived.Add(time.Hour)
	offered := Record{At: arrived, Seen: []rules.Seen{event(1, rules.HandoffOffered)}, Handoff: &until}
	over := saw(event(2, rules.FinalResponse))
	left := saw(event(3, rules.AgentLeft))
	never := func(b *rules.Bot) { b.Resend = "never" }
	always := func(b *rules.Bot) { b.Resend = "always" }
	wait := func(b *rules.Bot) { b.OnHandoff = "wait" }
	both := func(b *rules.Bot) { b.OnHandoff, b.Resend = "wait", "always" }
	for name, c := range map[string]struct {
		messages []string
		bot      func(*rules.Bot)
		journal  []Record
		want     step
	}{
		"fresh":                          {[]string{"a"}, nil, nil, step{move: send, message: "a"}},
		"claimed and not sent":           {[]string{"a"}, nil, []Record{{At: arrived, Begun: &Begun{Attempt: 2}}}, step{move: send, message: "a"}},
		"sent, showed nothing":           {[]string{"a"}, nil, []Record{sent(0, "a")}, step{move: resend, message: "a"}},
		"sent, said and showed nothing":  {[]string{"a"}, nil, []Record{sent(0, "a"), {Said: []Stream{{Text: "x"}}}}, step{move: resend, message: "a"}},
		"sent, showed something":         {[]string{"a"}, nil, []Record{sent(0, "a"), saw(event(1, rules.ToolAction))}, step{move: resume}},
		"never, showed nothing":          {[]string{"a"}, never, []Record{sent(0, "a")}, step{move: resume}},
		"always, showed something":       {[]string{"a"}, always, []Record{sent(0, "a"), saw(event(1, rules.ToolAction))}, step{move: resend, message: "a"}},
		"sent again, showed nothing":     {[]string{"a"}, always, []Record{sent(0, "a"), saw(event(1, rules.ToolAction)), sent(0, "a")}, step{move: resend, message: "a"}},
		"settled":                        {[]string{"a"}, nil, []Record{sent(0, "a"), over}, step{move: finish, ending: Ending{Status: Completed}}},
		"settled, more of the script":    {[]string{"a", "b"}, nil, []Record{sent(0, "a"), over}, step{move: send, message: "b"}},
		"the script goes before replies": {[]string{"a", "b"}, nil, []Record{sent(0, "a"), saw(event(1, rules.FinalResponse, replied("first", "r")))}, step{move: send, message: "b"}},
		"settled, a reply":               {[]string{"a"}, nil, []Record{sent(0, "a"), saw(event(1, rules.FinalResponse, replied("first", "r")))}, step{move: send, message: "r"}},
		"the reply was sent":             {[]string{"a"}, nil, []Record{sent(0, "a"), saw(event(1, rules.FinalResponse, replied("first", "r"))), sent(1, "r")}, step{move: resend, message: "r"}},
		"offered, the turn is open":      {[]string{"a"}, nil, []Record{sent(0, "a"), offered}, step{move: resume}},
		"offered ends at the settling":   {[]string{"a", "b"}, nil, []Record{sent(0, "a"), offered, over}, step{move: finish, ending: Ending{Status: Handoff}}},
		"wait, the turn is open":         {[]string{"a"}, wait, []Record{sent(0, "a"), offered}, step{move: await, until: until}},
		"wait never sends again":         {[]string{"a"}, both, []Record{sent(0, "a"), offered}, step{move: await, until: until}},
		"wait, settled, more to say":     {[]string{"a", "b"}, wait, []Record{sent(0, "a"), offered, over}, step{move: send, message: "b"}},
		"wait, settled":                  {[]string{"a"}, wait, []Record{sent(0, "a"), offered, over}, step{move: await, until: until}},
		"wait, the person has left":      {[]string{"a", "b"}, wait, []Record{sent(0, "a"), offered, left}, step{move: finish, ending: Ending{Status: Handoff}}},
		"a person leaves, none offered":  {[]string{"a"}, wait, []Record{sent(0, "a"), left}, step{move: resume}},
		"ended, the outcome is missing": {[]string{"a", "b"}, nil, []Record{sent(0, "a"), saw(rules.Seen{N: 1, Event: rules.Event{Type: rules.ConversationEnded, Status: "failed", Message: "why"}})},
			step{move: finish, ending: Ending{Failed, "why"}}},
		"rejected": {[]string{"a"}, nil, []Record{{At: arrived, Reject: "bad"}}, step{move: finish, ending: Ending{Rejected, "bad"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bot := someBot()
			if c.bot != nil {
				c.bot(bot)
			}
			got := fold(t, bot, c.messages, c.journal...).plan(bot)
			if got.move == resume {
				if d := time.Until(got.until); d < 50*time.Second || d > time.Minute {
					t.Errorf("resumes for %s, want resume_wait", d)
				}
				got.until = time.Time{}
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("plan is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestRepliesKeepTheOrderOfTheirRules(t *testing.T) {
	t.Parallel()
	s := fold(t, someBot(), []string{"a"}, sent(0, "a"),
		saw(event(1, rules.ToolAction, replied("second", "b1"))),
		saw(event(2, rules.ToolAction, replied("first", "a1"), replied("second", "b2"))),
		saw(event(3, rules.FinalResponse)), sent(1, "a1"),
		saw(event(4, rules.ToolAction, replied("first", "a2"))))
	var got []string
	for _, r := range s.replies {
		got = append(got, r.text)
	}
	if want := []string{"a1", "b1", "b2", "a2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("replies in the order %q, want %q", got, want)
	}
	if m, ok := s.next(); !ok || m != "b1" {
		t.Errorf("next is %q, want the second reply", m)
	}
	if s.planned() != 5 {
		t.Errorf("planned %d turns, want 5", s.planned())
	}
}

func TestFoldOfAJournal(t *testing.T) {
	t.Parallel()
	webhook := rules.Decision{Rule: "first", Result: rules.Fired, Actions: []rules.Action{{ID: "act-1", Kind: rules.KindWebhook}}}
	shadow := rules.Decision{Rule: "second", Result: rules.Shadow, Actions: []rules.Action{{ID: "act-2", Kind: rules.KindWebhook}}}
	result := event(2, rules.ToolActionResult, webhook, shadow)
	result.Status = "done"
	bot := someBot()
	s := fold(t, bot, []string{"a", "b"},
		Record{At: arrived, Rules: "v1", Place: "p1", Sent: &Sent{Message: "a", VisitorID: "generated"}},
		Record{At: arrived, Rules: "v1", Place: "p1", Failed: &Failure{Attempt: 1, Reason: "cut"}},
		Record{At: arrived.Add(time.Second), Rules: "v2", Place: "p1", Begun: &Begun{Attempt: 2}},
		Record{Rules: "v2", Said: []Stream{{Text: "hi", Greeting: true}, {MessageID: "m1", Text: "let me see"}}, Seen: []rules.Seen{event(1, rules.ToolAction), result}},
		Record{Rules: "v2", Said: []Stream{{MessageID: "m2", Text: "done"}}, Seen: []rules.Seen{event(3, rules.FinalResponse)}, Sent: &Sent{Turn: 1, Message: "b", VisitorID: "generated"}},
		Record{Rules: "v1", Back: "draining"})
	if s.VisitorID != "generated" || s.Last != 15 || !s.StartedAt.Equal(arrived) || s.Attempt != 2 || s.open || len(s.Failures) != 1 {
		t.Errorf("state %+v", s)
	}
	if !reflect.DeepEqual(s.Versions, []string{"v1", "v2"}) {
		t.Errorf("versions %q", s.Versions)
	}
	first := s.Turns[0]
	if first.Response != "done" || first.MessageID != "m2" || len(first.Interim) != 1 || first.Interim[0].Text != "let me see" || first.Tools["lookup"] != "done" || !first.Settled {
		t.Errorf("first turn %+v", first)
	}
	if len(s.Turns) != 2 || s.Turns[1].Message != "b" || s.shown || s.settledTurns() != 1 {
		t.Errorf("turns %+v", s.Turns)
	}
	if len(s.Greeting) != 1 || s.Greeting[0].Text != "hi" {
		t.Errorf("greeting %+v", s.Greeting)
	}
	if len(s.actions) != 1 || s.actions[0].ID != "act-1" || s.asked["act-1"].event != rules.ToolActionResult {
		t.Errorf("to be enqueued again: %+v", s.actions)
	}
	if got := s.Session.Ordinal(); got != 3 {
		t.Errorf("the next event has the ordinal %d, want 4", got+1)
	}
	if again := s.Session.Conversation(); again.Turns != 2 || again.Tools["lookup"] != "done" {
		t.Errorf("rules see %+v", again)
	}
}

// What a worker that dies leaves unsaid counts an attempt; what it says (failed, handed back) counts as it says.
func TestAttempts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		journal  []Record
		attempt  int
		failures int
		open     bool
	}{
		"first":         {[]Record{sent(0, "a")}, 1, 0, true},
		"failed":        {[]Record{sent(0, "a"), {Failed: &Failure{Attempt: 1}}}, 1, 1, false},
		"handed back":   {[]Record{sent(0, "a"), {Back: "drain"}}, 1, 0, false},
		"lost":          {[]Record{sent(0, "a"), {Begun: &Begun{Attempt: 2, Lost: &Failure{Attempt: 1}}}}, 2, 1, true},
		"taken up":      {[]Record{sent(0, "a"), {Back: "drain"}, {Begun: &Begun{Attempt: 1}}}, 1, 0, true},
		"failed at the": {[]Record{{Failed: &Failure{Attempt: 1}}}, 1, 1, false},
	} {
		s := fold(t, someBot(), []string{"a"}, c.journal...)
		if s.Attempt != c.attempt || len(s.Failures) != c.failures || s.open != c.open {
			t.Errorf("%s: attempt %d, %d failures, open %v; want %d, %d, %v", name, s.Attempt, len(s.Failures), s.open, c.attempt, c.failures, c.open)
		}
	}
}

func TestTranscriptIsCutAtACharacter(t *testing.T) {
	t.Parallel()
	bot := someBot()
	bot.MaxTranscript = 10
	s := fold(t, bot, []string{"a"}, sent(0, "a"))
	s.say(Stream{Text: "12345678"})
	if s.Truncated {
		t.Error("marked as cut while there was room")
	}
	s.say(Stream{Text: "9é€"})
	if got := s.turn().Response; got != "9" || !s.Truncated {
		t.Errorf("kept %q, truncated %v; want the one byte before the character that does not fit", got, s.Truncated)
	}
	s.say(Stream{Text: "x"})
	if got := s.turn().Response; got != "" {
		t.Errorf("kept %q beyond the limit", got)
	}
}

func TestEventsLeaveWhatHasNoRoom(t *testing.T) {
	t.Parallel()
	bot := someBot()
	bot.MaxTranscript = 12
	s := fold(t, bot, []string{"a"}, sent(0, "a"))
	seen := rules.Seen{Event: rules.Event{Raw: map[string]any{"a": 1}, Content: "12345"}}
	s.fitEvent(&seen, 5)
	if seen.Raw == nil || s.Truncated {
		t.Error("an event that fits was cut")
	}
	s.fitEvent(&seen, 100)
	if seen.Raw != nil || seen.Content != "12345" || !s.Truncated {
		t.Errorf("an event that does not fit keeps %+v", seen)
	}
	s.fitEvent(&seen, 100)
	if len(seen.Content) > 2 {
		t.Errorf("there is room for 2 bytes, kept %q", seen.Content)
	}
}

func TestLimitReplies(t *testing.T) {
	t.Parallel()
	reply := func(rule string, n int) rules.Decision {
		d := rules.Decision{Rule: rule, Result: rules.Fired}
		for range n {
			d.Actions = append(d.Actions, rules.Action{Kind: rules.KindReply, Rule: rule})
		}
		return d
	}
	mixed := reply("mixed", 1)
	mixed.Actions = append(mixed.Actions, rules.Action{Kind: rules.KindWebhook, Rule: "mixed"})
	for name, c := range map[string]struct {
		turns   int
		offered bool
		handoff string
		in      []rules.Decision
		want    string
	}{
		"room":                         {3, false, "end", []rules.Decision{reply("a", 2)}, "a fired 2"},
		"room for one of two rules":    {2, false, "end", []rules.Decision{reply("a", 1), reply("b", 1)}, "a fired 1,b max_turns 0"},
		"room for one of two actions":  {2, false, "end", []rules.Decision{reply("a", 2)}, "a fired 1,a max_turns 0"},
		"no room":                      {1, false, "end", []rules.Decision{reply("a", 1)}, "a max_turns 0"},
		"what is no reply goes on":     {1, false, "end", []rules.Decision{mixed}, "mixed fired 1,mixed max_turns 0"},
		"after a handoff that ends":    {9, true, "end", []rules.Decision{reply("a", 1)}, "a max_turns 0"},
		"after a handoff that waits":   {9, true, "wait", []rules.Decision{reply("a", 1)}, "a fired 1"},
		"shadow takes no room":         {2, false, "end", []rules.Decision{{Rule: "s", Result: rules.Shadow, Actions: reply("s", 1).Actions}, reply("a", 1)}, "s shadow 1,a fired 1"},
		"each of the kept is in order": {2, false, "end", []rules.Decision{reply("a", 1), mixed}, "a fired 1,mixed fired 1,mixed max_turns 0"},
	} {
		bot := someBot()
		bot.MaxTurns, bot.OnHandoff = c.turns, c.handoff
		conv := &conversation{bot: bot, state: fold(t, bot, []string{"m"}, sent(0, "m"))}
		conv.state.Offered = c.offered
		seen := rules.Seen{Decisions: append([]rules.Decision(nil), c.in...)}
		conv.limitReplies(&seen)
		var got []string
		for _, d := range seen.Decisions {
			got = append(got, d.Rule+" "+string(d.Result)+" "+string(rune('0'+len(d.Actions))))
			if d.Result == rules.TurnLimit && d.Reason == "" {
				t.Errorf("%s: suppressed without a reason", name)
			}
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, ","), c.want)
		}
	}
}
