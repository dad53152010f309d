package dgbotsim

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

// Each step to the letter of the protocol document.
func TestSteps(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		steps string
		want  []string
	}{
		"stream": {`stream: Standard shipping  takes 5–7 "days".`, []string{
			`{"type":"stream_start","message_id":"ID"}`,
			`{"type":"stream_chunk","message_id":"ID","content":"Standard"}`,
			`{"type":"stream_chunk","message_id":"ID","content":" shipping"}`,
			`{"type":"stream_chunk","message_id":"ID","content":"  takes"}`,
			`{"type":"stream_chunk","message_id":"ID","content":" 5–7"}`,
			`{"type":"stream_chunk","message_id":"ID","content":" \"days\"."}`,
			`{"type":"stream_end","message_id":"ID"}`,
		}},
		"chunks": {`stream: {id: m1, chunks: ["", "a b"]}`, []string{
			`{"type":"stream_start","message_id":"m1"}`,
			`{"type":"stream_chunk","message_id":"m1","content":""}`,
			`{"type":"stream_chunk","message_id":"m1","content":"a b"}`,
			`{"type":"stream_end","message_id":"m1"}`,
		}},
		"start":         {`start: m2`, []string{`{"type":"stream_start","message_id":"m2"}`}},
		"chunk":         {`chunk: {id: m2, text: x}`, []string{`{"type":"stream_chunk","message_id":"m2","content":"x"}`}},
		"end":           {`end: m2`, []string{`{"type":"stream_end","message_id":"m2"}`}},
		"tool":          {`tool: lookup_order`, []string{`{"type":"tool_action","tool":"lookup_order","status":"calling"}`, `{"type":"tool_action_result","tool":"lookup_order","status":"done"}`}},
		"failing tool":  {`tool: {name: x, status: error, takes: 1s}`, []string{`{"type":"tool_action","tool":"x","status":"calling"}`, `{"type":"tool_action_result","tool":"x","status":"error"}`}},
		"handoff":       {`handoff: A person?`, []string{`{"type":"handoff_offered","message":"A person?"}`}},
		"agent_joined":  {`agent_joined: Maya`, []string{`{"type":"agent_joined","agent_name":"Maya"}`}},
		"agent_message": {`agent_message: {name: Maya, content: hi}`, []string{`{"type":"agent_message","content":"hi","agent_name":"Maya"}`}},
		"agent_left":    {`agent_left:`, []string{`{"type":"agent_left"}`}},
		"raw":           {`raw: '{"type":"x","half":"\ud83d"}'`, []string{`{"type":"x","half":"\ud83d"}`}},
		"text":          {`garbage: text`, []string{`Internal Server Error`}},
		"bad json":      {`garbage: bad_json`, []string{`{"type":"stream_chunk","message_id":"msg_`}},
		"fragments": {`garbage: fragments`, []string{
			`{"type":"stream_start","message_id":"ID"}`,
			`{"type":"stream_chunk","message_id":"ID","content":"These words — “in pieces” — are one message."}`,
			`{"type":"stream_end","message_id":"ID"}`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := start(t, scripted(t, "replies:\n- steps:\n  - "+tt.steps+"\n  - end: over\n"))
			v := connect(t, sim, "v")
			v.say("x")
			v.expect(append(tt.want, `{"type":"stream_end","message_id":"over"}`)...)
		})
	}
}

func TestBinaryGarbage(t *testing.T) {
	t.Parallel()
	v := connect(t, start(t, scripted(t, "greeting:\n- garbage: binary\n")), "v")
	if kind, b, err := v.ws.ReadMessage(); kind != websocket.BinaryMessage || len(b) != 4 || err != nil {
		t.Errorf("got %d %x, %v", kind, b, err)
	}
}

func TestEndings(t *testing.T) {
	t.Parallel()
	unexpected := func(err error) bool { // the library's word for a socket that ended
		var e *websocket.CloseError
		return errors.As(err, &e) && e.Code == websocket.CloseAbnormalClosure && strings.Contains(e.Text, io.ErrUnexpectedEOF.Error())
	}
	for step, want := range map[string]func(error) bool{
		"drop: rst":   func(err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		"drop: fin":   unexpected,
		"close: 1011": func(err error) bool { return websocket.IsCloseError(err, 1011) },
		"close: {code: 4000, reason: tired}": func(err error) bool {
			return strings.Contains(err.Error(), "4000") && strings.Contains(err.Error(), "tired")
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			v := connect(t, start(t, scripted(t, "replies:\n- steps:\n  - "+step+"\n")), "v")
			v.say("x")
			if err := v.ends(); !want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCaptures(t *testing.T) {
	t.Parallel()
	re := regexp.MustCompile(`(?P<order>\d+)(x)?`)
	expand := expander(re, "refund 4711 now")
	for in, want := range map[string]string{
		"order $1": "order 4711", "${order}/${1}": "4711/4711", "[$2]": "[]", "$0": "4711",
		"$5 and $9": "$5 and $9", "${other} $x $": "${other} $x $", "$$1": "$1", "€5": "€5",
	} {
		if got := expand(in); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}
