package dgbotsim

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseScriptAllSteps(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseScript(b)
	if err != nil {
		t.Fatal(err)
	}
	p := func(s string) *string { return &s }
	want := Script{
		Speed: 2, Delay: 10 * time.Millisecond, OnReconnect: Resume, ResumeFor: 5 * time.Second,
		Greeting: []Step{{Stream: &Stream{Text: "Hello"}}},
		Refuse:   []Refusal{{Key: "^bad", Visitor: "x$", Status: 429, RetryAfter: 3 * time.Second, Times: 2}},
		Replies: []Reply{{
			Name: "all", Match: `(\d+)`, Key: "demo", Visitor: ".", After: "all", Times: 4,
			Steps: []Step{
				{Stream: &Stream{Text: "short $1"}},
				{Stream: &Stream{Chunks: []string{"a", " b"}, Delay: time.Second, ID: "m1"}},
				{Start: p("m2")}, {Chunk: &Chunk{ID: "m2", Text: " x "}}, {End: p("m2")},
				{Tool: &Tool{Name: "lookup"}},
				{Tool: &Tool{Name: "refund", Status: "error", Takes: 2 * time.Second}},
				{Handoff: p("A person?")}, {Handoff: p("A person!")},
				{AgentJoined: p("Maya")}, {AgentJoined: p("Ben")},
				{AgentMessage: &AgentMessage{Content: "hi"}}, {AgentMessage: &AgentMessage{Name: "Maya", Content: "hi"}},
				{AgentLeft: true}, {AgentLeft: true},
				{Wait: time.Minute},
				{Drop: DropRST}, {Drop: DropFIN},
				{Close: &Close{Code: 1011}}, {Close: &Close{Code: 4000, Reason: "why"}},
				{Silence: true},
				{Garbage: GarbageText}, {Garbage: GarbageBinary}, {Garbage: GarbageBadJSON}, {Garbage: GarbageUnknownType}, {Garbage: GarbageFragments},
				{Raw: `{"type":"x"}`},
			},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
		for i, s := range got.Replies[0].Steps {
			if !reflect.DeepEqual(s, want.Replies[0].Steps[i]) {
				t.Errorf("step %d: got %+v, want %+v", i, s, want.Replies[0].Steps[i])
			}
		}
	}
}

func TestParseScriptMistakes(t *testing.T) {
	t.Parallel()
	step := func(s string) string { return "replies:\n- match: a\n  steps:\n  - " + s + "\n" }
	tests := map[string]string{
		"speeed: 1\n":                        "1:1: unknown field \"speeed\"\n    speeed: 1",
		"speed: fast\n":                      "1:8: ",
		"speed: -1\n":                        "1:8: -1 is below zero",
		"delay: -1s\n":                       "1:8: -1s is below zero",
		"on_reconnect: retry\n":              `1:15: "retry" is none of: forget, resume`,
		"replies: [\n":                       "1:10: ",
		"a: 1\n---\nb: 2\n":                  "3:1: a second document",
		"replies:\n- match: a\n  match: b\n": "3:3: ",
		"replies:\n- match: a\n":             "2:3: it has no steps",
		"replies:\n- match: (\n  steps: [{tool: a}]\n":    "2:10: not a regular expression",
		"replies:\n- after: x\n  steps: [{tool: a}]\n":    `2:10: no reply has the name "x"`,
		"replies:\n- mach: a\n  steps: [{tool: a}]\n":     "2:3: unknown field \"mach\"",
		"refuse:\n- status: 200\n":                        "2:11: 200 is no status that refuses",
		"refuse:\n- key: a\n":                             "2:3: 0 is no status",
		"refuse:\n- {status: 503, retry_after: 1500ms}\n": "2:30: 1.5s is not in whole seconds",
		step("strem: x"):                                  `4:5: unknown step "strem": there are stream, start`,
		step("stream: {text: x, dlay: 20ms}"):             `4:23: unknown field "dlay"`,
		step("{stream: x, wait: 1s}"):                     "4:5: a step is one key",
		step("hello"):                                     "4:5: a step is one key",
		step("wait: soon"):                                "4:11: time: invalid duration",
		step("wait: -1s"):                                 "4:11: -1s is below zero",
		step("tool: {status: done}"):                      "4:11: a tool has a name",
		step("tool: {name: x, status: ok}"):               `4:29: "ok" is none of: done, error`,
		step("stream: {text: a, chunks: [b]}"):            "4:13: a stream has either",
		step("drop: hard"):                                `4:11: "hard" is none of: rst, fin`,
		step("close: 1006"):                               "4:12: 1006 is no code",
		step("close: x"):                                  "4:12: ",
		step("garbage: noise"):                            `4:14: "noise" is none of`,
	}
	for in, want := range tests {
		_, err := ParseScript([]byte(in))
		var at *ScriptError
		if !errors.As(err, &at) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("script:\n%s\n got %v\nwant %s…", in, err, want)
		}
	}
}

func TestParseScriptReportsAllValues(t *testing.T) {
	t.Parallel()
	_, err := ParseScript([]byte("speed: -1\nreplies:\n- match: (\n  steps:\n  - drop: hard\n"))
	for _, want := range []string{"1:8:", "3:10:", "5:11:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing at %s in: %v", want, err)
		}
	}
}

func TestParseScriptEmpty(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "# nothing\n", "---\n"} {
		if s, err := ParseScript([]byte(in)); err != nil || !reflect.DeepEqual(s, Script{}) {
			t.Errorf("ParseScript(%q) = %+v, %v", in, s, err)
		}
	}
}

func TestNewPanicsOnAnInvalidScript(t *testing.T) {
	t.Parallel()
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "check script: replies[0].steps[0]: a step does one thing, this one 0") {
			t.Errorf("got %q", p)
		}
	}()
	New(Script{Replies: []Reply{{Steps: []Step{{}}}}})
}
