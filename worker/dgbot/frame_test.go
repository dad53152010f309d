package dgbot

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]Frame{
		`{"type":"stream_start","message_id":"m1"}`:                    {Type: StreamStart, MessageID: "m1", Known: true},
		` { "type" : "stream_end" , "message_id" : "m1" } ` + "\r\n\t": {Type: StreamEnd, MessageID: "m1", Known: true},
		`{"type":"stream_chunk","message_id":"m","content":" 5–7 \"d\"\n"}`: {
			Type: StreamChunk, MessageID: "m", Content: " 5–7 \"d\"\n", Known: true},
		`{"type":"tool_action_result","tool":"issue_refund","status":"done"}`: {
			Type: ToolActionResult, Tool: "issue_refund", Status: "done", Known: true},
		`{"type":"agent_message","content":"hi","agent_name":"Maya"}`:    {Type: AgentMessage, Content: "hi", AgentName: "Maya", Known: true},
		`{"type":"handoff_offered","message":"A person?","x":{"y":[1]}}`: {Type: HandoffOffered, Message: "A person?", Known: true},
		`{"type":"typing","on":true,"Tool":"other case"}`:                {Type: "typing"},
		`{"type":"tool_action","tool":["no","string"],"status":null}`:    {Type: ToolAction, Known: true},
		`{"type":"stream_end","type":"agent_left"}`:                      {Type: AgentLeft, Known: true},
		`{"\u0074ype":"agent_left"}`:                                     {Type: AgentLeft, Known: true},
		`{"type":"agent_message","content":"\ud83d"}`:                    {Type: AgentMessage, Content: "\uFFFD", Known: true},
		`{"type":"agent_message","content":"\ud83d\ude00"}`:              {Type: AgentMessage, Content: "😀", Known: true},
		`{"type":"stream_chunk","content":"a\ud83d"}`:                    {Type: StreamChunk, Content: "a\xED\xA0\xBD", Known: true},
		`{"type":"stream_chunk","content":"\ude00 b"}`:                   {Type: StreamChunk, Content: "\xED\xB8\x80 b", Known: true},
		`{"type":"stream_chunk","content":"a\\ud83d"}`:                   {Type: StreamChunk, Content: `a\ud83d`, Known: true},
		`{"type":"stream_chunk","content":"x\ud83dy"}`:                   {Type: StreamChunk, Content: "x\uFFFDy", Known: true},
		"{\"type\":\"stream_chunk\",\"content\":\"\xED\xA0\xBD\"}":       {Type: StreamChunk, Content: "\uFFFD\uFFFD\uFFFD", Known: true},
	}
	for in, want := range tests {
		got, err := Parse([]byte(in))
		if string(got.Raw) != in {
			t.Errorf("Parse(%s): Raw is %s", in, got.Raw)
		}
		got.Raw = nil
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%s)\n got %+v, %v\nwant %+v", in, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]error{
		``: ErrBadJSON, `null`: ErrBadJSON, `[]`: ErrBadJSON, `"type"`: ErrBadJSON, `12`: ErrBadJSON,
		`{"type":"stream_chunk","content":"`:   ErrBadJSON,
		`{"type":"agent_left"}{}`:              ErrBadJSON,
		`{"type":"agent_left",}`:               ErrBadJSON,
		"{\"type\":\"a\",\"content\":\"\n\"}":  ErrBadJSON,
		`{"type":"a","content":"\x"}`:          ErrBadJSON,
		"\uFEFF" + `{"type":"agent_left"}`:     ErrBadJSON,
		`{}`:                                   ErrNoType,
		`{"type":7}`:                           ErrNoType,
		`{"type":""}`:                          ErrNoType,
		`{"Type":"agent_left"}`:                ErrNoType,
		`{"type":"agent_left","type":null}`:    ErrNoType,
		`{"content":"{\"type\":\"message\"}"}`: ErrNoType,
	}
	for in, want := range tests {
		if f, err := Parse([]byte(in)); !errors.Is(err, want) || !reflect.DeepEqual(f, Frame{}) {
			t.Errorf("Parse(%q) = %+v, %v; want %v", in, f, err, want)
		}
	}
}

func TestParseCopiesAllButRaw(t *testing.T) {
	t.Parallel()
	b := []byte(`{"type":"typing","message_id":"m1","tool":"lookup"}`)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if f.Type != "typing" || f.MessageID != "m1" || f.Tool != "lookup" {
		t.Errorf("the frame changed with its bytes: %+v", f)
	}
}

// The common frame costs one allocation, its text: a conversation has hundreds.
func TestParseAllocations(t *testing.T) {
	b := []byte(`{"type":"stream_chunk","message_id":"msg_abc123","content":" takes 5–7"}`)
	var seen memo
	var f Frame
	n := testing.AllocsPerRun(100, func() {
		if err := parse(b, &f, &seen); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("a chunk costs %v allocations, want 1", n)
	}
}

func TestAppendMessage(t *testing.T) {
	t.Parallel()
	got := string(AppendMessage([]byte("x"), "a <b> & \"c\"\n\xff\u2028"))
	want := `x{"type":"message","content":"a <b> & \"c\"\n\ufffd\u2028"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(Ping)) {
		t.Error("Ping is no JSON")
	}
}

// FuzzParse holds Parse against encoding/json alone.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"type":"stream_chunk","message_id":"msg_abc123","content":" shipping"}`,
		`{"type":"stream_chunk","content":"\ud83d"}`, `{"type":"stream_chunk","content":"\ude00\ud83d\\ud83d"}`,
		`{"type":"stream_chunk","content":"\\\ud83d","content":"\u00e9"}`, `{"type":"x","a":"\"","b":[{}],"c":1e9}`,
		"{\"type\":\"stream_chunk\",\"content\":\"\xED\xA0\xBD\\uDE00\"}", `{"type":"agent_left"} x`, `{"type":"a" "b":"c"}`,
		` {"type":"tool_action","tool":"t","status":"calling"} `, `null`, `{`, `{"type":"stream_end","message_id":null}`,
		`{"type":"\ud800","tool":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Parse(b)
		want, ok := oracle(b)
		if (err == nil) != ok {
			t.Fatalf("Parse(%q): %v, encoding/json accepts it: %v", b, err, ok)
		}
		if err != nil {
			return
		}
		if got.Type != StreamChunk && !utf8.ValidString(got.Content) {
			t.Fatalf("Parse(%q): half a character outside of a chunk: %q", b, got.Content)
		}
		got.Content, got.Raw = Clean(got.Content), nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("Parse(%q)\n got %+v\nwant %+v", b, got, want)
		}
	})
}

// oracle is Parse as one would write it without regard to speed and to halves of characters.
func oracle(b []byte) (Frame, bool) {
	var m map[string]any
	if json.Unmarshal(b, &m) != nil || m == nil {
		return Frame{}, false
	}
	s := func(key string) string { v, _ := m[key].(string); return v }
	f := Frame{
		Type: s("type"), MessageID: s("message_id"), Content: s("content"), Tool: s("tool"),
		Status: s("status"), Message: s("message"), AgentName: s("agent_name"),
	}
	f.Known = strings.Contains(" stream_start stream_chunk stream_end tool_action tool_action_result "+
		"handoff_offered agent_joined agent_message agent_left ", " "+f.Type+" ") && !strings.Contains(f.Type, " ")
	return f, f.Type != ""
}

func BenchmarkParse(b *testing.B) {
	for name, frame := range map[string]string{
		"flat":   `{"type":"stream_chunk","message_id":"msg_abc123","content":" takes 5–7"}`,
		"escape": `{"type":"stream_chunk","message_id":"msg_abc123","content":"takes\n5–7"}`,
		"nested": `{"type":"stream_chunk","message_id":"msg_abc123","content":"x","meta":{"a":1}}`,
	} {
		b.Run(name, func(b *testing.B) {
			var f Frame
			var seen memo
			for b.Loop() {
				if err := parse([]byte(frame), &f, &seen); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
