package worker

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dgworker/rules"
)

var writtenTime = regexp.MustCompile(`"[a-z_]+":"(\d{4}-\d\d-\d\dT[^"]*)"`)

// Every time of an outcome has milliseconds, whatever they are, and is in UTC.
func TestOutcomeWritesItsTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 3, 10, 0, 0, 120e6, time.FixedZone("CET", 3600))
	o := Outcome{
		StartedAt: Time{Time: at}, EndedAt: Time{Time: at.Truncate(time.Second)},
		History:    []Failure{{Attempt: 1, At: at, NotBefore: at.Truncate(time.Second)}, {Attempt: 2, At: at}},
		Suppressed: []Suppressed{{Rule: "r", Until: Time{Time: at}}, {Rule: "q"}},
		Turns:      []Turn{{Events: []rules.Seen{{N: 1, Event: rules.Event{At: at}}}}},
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	found := writtenTime.FindAllStringSubmatch(string(b), -1)
	if len(found) != 7 {
		t.Errorf("%d times in %s, want 7", len(found), b)
	}
	for _, m := range found {
		if !regexp.MustCompile(`^2026-11-03T09:00:00\.(120|000)Z$`).MatchString(m[1]) {
			t.Errorf("a time is written as %s", m[0])
		}
	}
	var back Outcome
	if err := json.Unmarshal(b, &back); err != nil || !back.History[0].At.Equal(at) || !back.StartedAt.Equal(at) {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

func TestShrinkTakesTheLeastMissedFirst(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 5000)
	o := &Outcome{ID: "p", Status: Completed, Response: long,
		Prompt:   PromptRecord{Content: long, Messages: []string{long, long}, Data: map[string]any{"a": long}, Headers: map[string]string{"h": long}},
		Greeting: []Stream{{Text: long}},
		Turns: []Turn{{Message: long, Response: long, Interim: []Stream{{Text: long}}, Events: []rules.Seen{{
			Event:     rules.Event{Type: rules.ToolAction, Tool: "t", Raw: map[string]any{"a": long}},
			Decisions: []rules.Decision{{Rule: "r", Result: rules.Fired, Actions: []rules.Action{{ID: "act", Body: []byte(long)}}}},
		}}}},
		Fired: []Fired{{Rule: "r", ID: "act"}},
	}
	size := func() int {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	was := size()
	for level, gone := range []func() bool{
		func() bool { return o.Turns[0].Events[0].Raw == nil && o.Turns[0].Events[0].Tool == "t" },
		func() bool {
			return o.Turns[0].Events[0].Decisions[0].Actions == nil && o.Turns[0].Events[0].Decisions[0].Rule == "r"
		},
		func() bool { return o.Prompt.Data == nil && o.Prompt.Headers == nil },
		func() bool {
			return len(o.Turns[0].Response) <= 1000 && o.Turns[0].Response != "" && o.Turns[0].Interim == nil
		},
		func() bool { return len(o.Turns) == 0 && len(o.Response) <= 1000 && o.Response != "" },
	} {
		if !o.Shrink(level, 4000) || !gone() || !o.Truncated {
			t.Errorf("level %d left %+v", level, o)
		}
		now := size()
		if now >= was {
			t.Errorf("level %d: %d bytes, were %d", level, now, was)
		}
		was = now
		if !utf8.ValidString(o.Response) || o.ID != "p" || len(o.Fired) != 1 {
			t.Errorf("level %d spoiled the outcome: %+v", level, o)
		}
	}
	if o.Shrink(5, 4000) {
		t.Error("there is nothing more to take")
	}
	if was > 4000 {
		t.Errorf("%d bytes are left", was)
	}
}

func TestCutText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"é", 1, ""}, {"a€b", 3, "a"}, {"a€b", 4, "a€"}, {"😀", 3, ""}, {"a", 0, ""}, {"", 5, ""}} {
		if got := cutText(c.in, c.n); got != c.want {
			t.Errorf("cutText(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestDeadStatuses(t *testing.T) {
	t.Parallel()
	for s, want := range map[Status]bool{Completed: false, Handoff: false, Failed: true, Interrupted: true, Rejected: true} {
		if s.Dead() != want {
			t.Errorf("%s dead: %v", s, s.Dead())
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute} {
		for range 100 {
			if d := backoff(n); d < want*4/5 || d > want*6/5 {
				t.Fatalf("backoff(%d) = %s, want %s ±20 %%", n, d, want)
			}
		}
	}
}
