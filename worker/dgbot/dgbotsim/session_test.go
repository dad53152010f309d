package dgbotsim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestAnswersInOrder(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "replies:\n- match: (.+)\n  steps: [{wait: 1ms}, {stream: $1}]\n"), WithSpeed(1))
	v, other := connect(t, sim, "v"), connect(t, sim, "other")
	for i := range 20 {
		v.say(fmt.Sprint("m", i))
	}
	other.say("not held up")
	if texts, _ := other.answer(1); texts[0] != "not held up" {
		t.Errorf("got %q", texts)
	}
	texts, _ := v.answer(20)
	for i, got := range texts {
		if got != fmt.Sprint("m", i) {
			t.Fatalf("answer %d is %q", i, got)
		}
	}
	await(t, sim, func(s Stats) bool { return s.Answered == 21 })
}

func TestReplyChoice(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, `
replies:
- {match: ^a, times: 2, steps: [{stream: first}]}
- {match: ^a, visitor: ^vip, steps: [{stream: vip}]}
- {match: ^a, key: ^other$, steps: [{stream: other}]}
- {name: ask, match: ^b, steps: [{stream: which}]}
- {after: ask, match: '(\d+)', steps: [{stream: order $1}]}
- {match: '^\d', steps: [{stream: number}]}
`))
	v, vip := connect(t, sim, "v"), connect(t, sim, "vip")
	for _, tt := range []struct {
		who       *visitor
		say, want string
	}{
		{v, "a", "first"}, {vip, "a", "first"}, {vip, "a", "vip"},
		{v, "12", "number"}, {v, "b", "which"}, {vip, "12", "number"}, {v, "12", "order 12"}, {v, "12", "number"},
	} {
		tt.who.say(tt.say)
		if texts, _ := tt.who.answer(1); texts[0] != tt.want {
			t.Errorf("%q: got %q, want %q", tt.say, texts[0], tt.want)
		}
	}
}

func TestGreetingIsForTheFirstConnection(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "greeting:\n- stream: Welcome\nreplies:\n- steps: [{stream: yes}]\n"))
	v := connect(t, sim, "v")
	if texts, _ := v.answer(1); texts[0] != "Welcome" {
		t.Errorf("got %q", texts)
	}
	_ = v.ws.Close()
	v = connect(t, sim, "v")
	v.say("x")
	if texts, _ := v.answer(1); texts[0] != "yes" {
		t.Errorf("got %q", texts)
	}
}

const cutOff = "replies:\n- match: refund\n  steps: [{tool: a}, {drop: fin}, {tool: b}, {stream: done}]\n- steps: [{stream: other}]\n"

func TestReconnectForgets(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, cutOff))
	v := connect(t, sim, "v")
	v.say("refund")
	_ = v.ends()
	v = connect(t, sim, "v")
	v.say("x")
	v.expect(`{"type":"stream_start","message_id":"ID"}`)
	if s := sim.Stats(); s.Connections != 2 {
		t.Errorf("got %+v", s)
	}
}

func TestReconnectResumes(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "on_reconnect: resume\n"+cutOff))
	v := connect(t, sim, "v")
	v.say("refund")
	_ = v.ends()
	v = connect(t, sim, "v")
	v.say("x")
	texts, tools := v.answer(2)
	if !slices.Equal(texts, []string{"done", "other"}) || !slices.Equal(tools, []string{"b done"}) {
		t.Errorf("got %q and %q", texts, tools)
	}
}

func TestResumeGivesUp(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "on_reconnect: resume\nresume_within: 1ms\n"+cutOff))
	v := connect(t, sim, "v")
	v.say("refund")
	_ = v.ends()
	await(t, sim, func(s Stats) bool { return s.Open == 0 })
	for { // until the answer has been given up, it would come first
		v = connect(t, sim, "v")
		v.say("x")
		texts, tools := v.answer(1)
		if texts[0] == "other" && tools == nil {
			return
		}
		t.Logf("too early: %q %q", texts, tools)
	}
}

// Silence is for the connection that it began on: the next is answered.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{Forget, Resume} {
		sim := start(t, scripted(t, "on_reconnect: "+mode+"\nreplies:\n- match: hush\n  steps: [{silence: true}, {stream: never}]\n- steps: [{stream: yes}]\n"))
		v := connect(t, sim, "v")
		v.say("hush")
		await(t, sim, func(s Stats) bool { return s.Messages == 1 })
		_ = v.ws.Close()
		v = connect(t, sim, "v")
		v.say("x")
		if texts, _ := v.answer(1); texts[0] != "yes" {
			t.Errorf("%s: got %q", mode, texts)
		}
	}
}

func TestSilenceOnACutConnectionIsOver(t *testing.T) {
	t.Parallel()
	sim := start(t, scripted(t, "on_reconnect: resume\nreplies:\n- match: hush\n  steps: [{drop: fin}, {silence: true}]\n- steps: [{stream: yes}]\n"))
	v := connect(t, sim, "v")
	v.say("hush")
	_ = v.ends()
	v = connect(t, sim, "v")
	v.say("x")
	if texts, _ := v.answer(1); texts[0] != "yes" {
		t.Errorf("got %q", texts)
	}
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	sim := start(t, Script{}, WithOverlapGrace(time.Millisecond))
	older, other := connect(t, sim, "v"), connect(t, sim, "other")
	connect(t, sim, "v")
	await(t, sim, func(s Stats) bool { return s.Connections == 3 }) // the client has its answer a moment before
	if got := sim.Overlaps(); len(got) != 1 || got[0].Visitor != "v" || got[0].Older != 1 || got[0].Newer != 3 || got[0].Active {
		t.Errorf("got %+v", got)
	}
	other.say("x")
	older.say("still here")
	await(t, sim, func(s Stats) bool { return s.Messages == 2 })
	if got := sim.Overlaps(); len(got) != 1 || !got[0].Active {
		t.Errorf("got %+v", got)
	}
	if v, o, n := sim.MaxOpen("demo", "v"), sim.MaxOpen("demo", "other"), sim.MaxOpen("demo", "nobody"); v != 2 || o != 1 || n != 0 {
		t.Errorf("got %d, %d, %d", v, o, n)
	}
}

// A visitor who leaves and comes back at once has not been there twice, whichever way it left.
func TestNoOverlapOnReconnect(t *testing.T) {
	t.Parallel()
	sim := start(t, Script{}, WithOverlapGrace(10*time.Second))
	for i := range 60 {
		ws, _, err := handshake(sim, "demo", "v")
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
		}
		_ = ws.Close()
	}
	await(t, sim, func(s Stats) bool { return s.Connections == 60 })
	if got := sim.Overlaps(); len(got) != 0 || sim.MaxOpen("demo", "v") != 1 {
		t.Errorf("%d overlaps, %d open at once", len(got), sim.MaxOpen("demo", "v"))
	}
}

func TestDefaultBackOffice(t *testing.T) {
	t.Parallel()
	sim := start(t, Default())
	for _, tt := range []struct {
		say   []string
		want  string // of the last stream
		tools string
		n     int // streams in the last answer
	}{
		{[]string{"What are your shipping times?"}, "Standard shipping takes 5–7 business days.", "", 1},
		{[]string{"Please refund order 4711"}, "Your refund of €49.90 for order 4711 has been issued.", "lookup_order done,issue_refund done", 2},
		{[]string{"For 4711 I want my money back"}, "Your refund of €49.90 for order 4711 has been issued.", "lookup_order done,issue_refund done", 2},
		{[]string{"I want a refund"}, "I can help with that. Which order is it about?", "", 1},
		{[]string{"I want a refund", "Order 4711, please."}, "Your refund of €49.90 for order 4711 has been issued.", "lookup_order done,issue_refund done", 2},
		{[]string{"Where is order A-4711?"}, "Order 4711 left our warehouse yesterday and will arrive in two business days.", "lookup_order done", 2},
		{[]string{"Where is my parcel?", "4711"}, "Order 4711 left our warehouse yesterday and will arrive in two business days.", "lookup_order done", 2},
		{[]string{"Order 4711 is 5 days late. Find out why and offer a remedy."}, "Order 4711 was held up at the carrier's depot. We have moved it to express delivery at no cost.", "lookup_order done", 2},
		{[]string{"Is the blue one in stock?"}, "I am sorry, I cannot reach our warehouse at the moment. Please try again later.", "check_stock error", 2},
		{[]string{"Hello there"}, "Hello! How can I help you today?", "", 1},
		{[]string{"Thanks!"}, "You are welcome. Have a good day!", "", 1},
		{[]string{"Tell me a joke"}, "I can help with orders, refunds, stock and shipping, or get you a person. What is it about?", "", 1},
	} {
		v := connect(t, sim, strings.Join(tt.say, "/"))
		for _, before := range tt.say[:len(tt.say)-1] {
			v.say(before)
			v.answer(1)
		}
		v.say(tt.say[len(tt.say)-1])
		texts, tools := v.answer(tt.n)
		if texts[len(texts)-1] != tt.want || strings.Join(tools, ",") != tt.tools {
			t.Errorf("%q: got %q and %q", tt.say, texts, tools)
		}
	}
}

func TestDefaultHandoff(t *testing.T) {
	t.Parallel()
	v := connect(t, start(t, Default()), "v")
	v.say("Can I talk to a human?")
	v.answer(1)
	v.expect(`{"type":"handoff_offered","message":"A colleague from our support team can take over."}`,
		`{"type":"agent_joined","agent_name":"Maya"}`,
		`{"type":"agent_message","content":"Hello, this is Maya. I have read your conversation and will take care of it.","agent_name":"Maya"}`,
		`{"type":"agent_left"}`)
}
