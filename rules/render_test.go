package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// said is toolDone with what a bot or a visitor said in prompt.data.x.
func said(x any) *Occasion {
	o := toolDone()
	data := maps.Clone(o.Prompt.Data.(map[string]any))
	data["x"] = x
	o.Prompt.Data = data
	return o
}

// oneAction is a set of one rule with one action.
func oneAction(t testing.TB, action string) *Set {
	t.Helper()
	return parse(t, "rules:\n  - name: a\n    on: tool_action_result\n    actions:\n      - "+action+"\n")
}

// rendered puts an occasion to a rule with that action; the action is the zero one where the rule failed.
func rendered(t testing.TB, action string, o *Occasion) (Action, Decision) {
	t.Helper()
	ds := decide(t, oneAction(t, action), o)
	if len(ds) != 1 {
		t.Fatalf("%d decisions, want 1", len(ds))
	}
	if ds[0].Result != Fired {
		return Action{}, ds[0]
	}
	return ds[0].Actions[0], ds[0]
}

const (
	inPath    = `{webhook: hook, path: "/a/{{ prompt.data.x }}/b"}`
	inQuery   = `{webhook: hook, query: {q: "{{ prompt.data.x }}", n: 1}}`
	inHeader  = `{webhook: hook, headers: {x-a: "b {{ prompt.data.x }}"}}`
	inSubject = `{publish: "a.{{ prompt.data.x }}.b"}`
	inJSON    = `{publish: a, body: {v: "{{ prompt.data.x }}", w: "<{{ prompt.data.x }}>"}}`
	inText    = `{publish: a, body: "<{{ prompt.data.x }}>"}`
	inReply   = `{reply: "<{{ prompt.data.x }}>"}`
)

// place takes what a test looks at out of an action.
func place(a Action) string {
	switch {
	case a.Text != "":
		return a.Text
	case a.Path != "":
		return a.Path
	case a.Query != "":
		return a.Query
	case a.Headers != nil:
		return a.Headers["X-A"]
	case a.Subject != "a":
		return a.Subject
	}
	return string(a.Body)
}

func TestValuesAreEscapedForTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, action string
		x            any
		want         string
	}{
		{"hostile 8: ../../x in a path", inPath, "../../x", "/a/..%2F..%2Fx/b"},
		{"hostile 8: backslashes in a path", inPath, `..\..\x`, "/a/..%5C..%5Cx/b"},
		{"an escape in a path", inPath, "%2e%2e", "/a/%252e%252e/b"},
		{"hostile 9: a&b#c in a path", inPath, "a&b#c?d", "/a/a&b%23c%3Fd/b"},
		{"CR and LF in a path", inPath, "a\r\nb", "/a/a%0D%0Ab/b"},
		{"hostile 9: a&b#c in a query", inQuery, "a&b#c=d e+f", "q=a%26b%23c%3Dd+e%2Bf&n=1"},
		{"hostile 9: a query that is written out", `{webhook: hook, query: "a=1&b={{ prompt.data.x }}"}`, "x&c=2#", "a=1&b=x%26c%3D2%23"},
		{"an empty query value", inQuery, "", "q=&n=1"},
		{"a header", inHeader, "ü\t;", "b ü\t;"},
		{"a subject", inSubject, "a.b*c>d e\t\u00a0é%", "a.a%2Eb%2Ac%3Ed%20e%09%C2%A0é%25.b"},
		{"CR, LF and NUL in a subject", inSubject, "a\r\n\x00", "a.a%0D%0A%00.b"},
		{"hostile 11: quotes in JSON", inJSON, `"}, "admin": {"a`, `{"v":"\"}, \"admin\": {\"a","w":"<\"}, \"admin\": {\"a>"}`},
		{"hostile 11: U+2028 in JSON", inJSON, "\u2028", `{"v":"\u2028","w":"<\u2028>"}`},
		{"hostile 11: invalid UTF-8 in JSON", inJSON, "a\xffb", `{"v":"a\ufffdb","w":"<a` + "\uFFFD" + `b>"}`},
		{"hostile 11: invalid UTF-8 in a path", inPath, "a\xffb", "/a/a%EF%BF%BDb/b"},
		{"hostile 11: invalid UTF-8 in a text", inText, "a\xff", "<a\uFFFD>"},
		{"hostile 12: a placeholder in a text", inText, "{{ prompt.id }} ${HOME} $${", "<{{ prompt.id }} ${HOME} $${>"},
		{"hostile 12: a placeholder in JSON", inJSON, "{{ prompt.id }}", `{"v":"{{ prompt.id }}","w":"<{{ prompt.id }}>"}`},
		{"hostile 12: a placeholder in a path", inPath, "{{ prompt.id }}", "/a/%7B%7B%20prompt.id%20%7D%7D/b"},
		{"hostile 12: a placeholder in a reply", inReply, "{{ prompt.id }}", "<{{ prompt.id }}>"},
		{"a number keeps its type", inJSON, 12.0, `{"v":12,"w":"<12>"}`},
		{"a large number is no power of ten", inPath, 123456789.0, "/a/123456789/b"},
		{"a list keeps its type", inJSON, []any{1.0, "b"}, `{"v":[1,"b"],"w":"<[1,\"b\"]>"}`},
		{"nil keeps its type", `{publish: a, body: {v: "{{ prompt.data.x }}"}}`, nil, `{"v":null}`},
		{"a whole text is JSON", `{publish: a, body: "{{ prompt.data.x }}"}`, `say "hi"`, `"say \"hi\""`},
		{"a block with a line end is whole", "publish: a\n        body: |\n          {{ prompt.data.x }}", true, `true`},
		{"a time", `{publish: a, body: "{{ event.at }}"}`, nil, `"2026-11-20T10:30:00.123Z"`},
		{"a time in a text", `{publish: a, body: "at {{ event.at }}"}`, nil, `at 2026-11-20T10:30:00.123Z`},
		{"braces and strings in a placeholder", `{publish: a, body: "{{ {\"k\": {\"}}\": 1}} }}"}`, nil, `{"k":{"}}":1}}`},
		{"keys in the order of the file", `{publish: a, body: {z: 1, a: [true, null, 1.5, "2", -3], m: {}}}`, nil, `{"z":1,"a":[true,null,1.5,"2",-3],"m":{}}`},
		{"$${ is ${", `{publish: a, body: {v: "$${HOME}"}}`, nil, `{"v":"${HOME}"}`},
		{"grouped by a number", `{publish: a, body: {v: "{{ groupBy([1, 2, 1], #) }}"}}`, nil, `{"v":{"1":[1,1],"2":[2]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, d := rendered(t, c.action, said(c.x))
			if got := place(a); d.Result != Fired || got != c.want {
				t.Errorf("got %s %s: %q, want %q", d.Result, d.Reason, got, c.want)
			}
		})
	}
}

func TestValuesThatFail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<10)
	for _, c := range []struct {
		name, action string
		x            any
		want         string
	}{
		{"hostile 7: ..", inPath, "..", `actions[0].path: segment 2 is ".."`},
		{"hostile 7: .", inPath, ".", `segment 2 is "."`},
		{"hostile 7: empty", inPath, "", "segment 2 is empty"},
		{"hostile 7: . beside a literal", `{webhook: hook, path: "/.{{ prompt.data.x }}"}`, ".", `segment 1 is ".."`},
		{"hostile 7: . beside an escape", `{webhook: hook, path: "/%2e{{ prompt.data.x }}/b"}`, ".", `segment 1 is ".."`},
		{"hostile 7: empty at the end", `{webhook: hook, path: "/a/{{ prompt.data.x }}"}`, "", "segment 2 is empty"},
		{"NUL in a path", inPath, "a\x00", "NUL"},
		{"hostile 10: CR and LF in a header", inHeader, "a\r\nX: y", `control character '\r'`},
		{"hostile 10: LF in a header", inHeader, "a\nX: y", "control character"},
		{"hostile 10: NUL in a header", inHeader, "a\x00", "control character"},
		{"hostile 13: URL", inPath, long, "too long"},
		{"hostile 13: query", inQuery, long, "too long"},
		{"hostile 13: header", inHeader, long + long, "too long"},
		{"hostile 13: subject", inSubject, long, "too long"},
		{"hostile 13: text", inText, strings.Repeat("x", maxBody), "too long"},
		{"hostile 13: JSON", inJSON, strings.Repeat("x", maxBody), "too long"},
		{"hostile 13: default body", `{publish: a}`, strings.Repeat("x", maxBody), "too long"},
		{"hostile 13: reply", inReply, strings.Repeat("x", defaultMaxContent), "too long"},
		{"hostile 14: a bomb in JSON", `{publish: a, body: {v: "{{ map(1..100000, prompt.data.x) }}"}}`, long, "too"},
		{"hostile 14: a bomb of lists", `{publish: a, body: {v: "{{ let a = [prompt.data.x, prompt.data.x]; let b = [a, a, a, a, a, a, a, a]; let c = [b, b, b, b, b, b, b, b]; let d = [c, c, c, c, c, c, c, c]; let e = [d, d, d, d, d, d, d, d]; [e, e, e, e, e, e, e, e] }}"}}`, long, "too long"},
		{"hostile 14: a bomb of placeholders", `{publish: a, body: "` + strings.Repeat("{{ prompt.data.x }}", 1000) + `"}`, long, "too long"},
		{"nil in a path", inPath, nil, "nil"},
		{"nil in a text", inText, nil, "nil"},
		{"nil in a reply", inReply, nil, "nil"},
		{"a list in a path", inPath, []any{"a"}, "a list, not text"},
		{"a map in a header", inHeader, map[string]any{}, "a map, not text"},
		{"an empty token", inSubject, "", "empty"},
		{"an empty reply", `{reply: "{{ prompt.data.x }}"}`, " \n", "empty"},
		{"a field of nil", `{publish: a, body: {v: {w: "{{ prompt.data.x.y.z }}"}}}`, nil, "body: v: w: prompt.data.x.y.z"},
		{"not a number", `{publish: a, body: {v: "{{ 0.0 / 0.0 }}"}}`, nil, "NaN has no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, d := rendered(t, c.action, said(c.x))
			if d.Result != Error || !strings.Contains(d.Reason, c.want) || len(d.Actions) > 0 {
				t.Errorf("got %s %q, want an error with %q", d.Result, d.Reason, c.want)
			}
			if len(d.Reason) > 600 {
				t.Errorf("the reason has %d bytes", len(d.Reason))
			}
		})
	}
}

func TestReplyIsBoundedByItsBot(t *testing.T) {
	t.Parallel()
	o := said(strings.Repeat("x", 63))
	o.Prompt.Bot = "sales"
	if _, d := rendered(t, inReply, o); !strings.Contains(d.Reason, "too long") {
		t.Errorf("65 bytes for a bot that takes 64: %+v", d)
	}
}

func TestDefaultBody(t *testing.T) {
	t.Parallel()
	a, d := rendered(t, `{webhook: hook, path: /x}`, toolDone())
	if d.Result != Fired {
		t.Fatalf("%+v", d)
	}
	want := `{"type":"tool_action_result","timestamp":"2026-11-20T10:30:00.123Z","data":{"rule":"a",` +
		`"event":{"type":"tool_action_result","at":"2026-11-20T10:30:00.123Z","tool":"issue_refund","status":"done","raw":{"cost":12.5,"status":"done","tool":"issue_refund","type":"tool_action_result"}},` +
		`"response":{"text":"Your refund is on its way.","message_id":"m1"},` +
		`"turn":{"index":0,"message":"Refund, please","tools":{"issue_refund":"done"}},` +
		`"conversation":{"visitor_id":"v-1","bot":"support","status":"open","turns":1,"tools":{"issue_refund":"done"},"handed_off":false},` +
		`"prompt":{"id":"p1","bot":"support","content":"Refund, please","data":{"amount":1000000,"items":[{"n":2,"sku":"s1"}],"order_id":"A-1042"},"headers":{"X-Team":"eu"}}}}`
	if got := string(a.Body); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if a.Method != "POST" || a.Endpoint != "hook" || a.ID != ActionID("p1", "a", 0, 3) {
		t.Errorf("the action is %+v", a)
	}
}

func TestCloudEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ action, contentType, data string }{
		{`{webhook: events, body: {a: "{{ prompt.id }}"}}`, "application/json", `{"a":"p1"}`},
		{`{webhook: events, body: "id {{ prompt.id }}"}`, "text/plain", `"id p1"`},
		{`{webhook: events, body: "{{ prompt.id }}"}`, "application/json", `"p1"`},
		{`{webhook: events}`, "application/json", ""},
	} {
		a, _ := rendered(t, c.action, toolDone())
		var e cloudEvent
		if err := json.Unmarshal(a.Body, &e); err != nil {
			t.Fatalf("%s: %v", a.Body, err)
		}
		if c.data != "" && string(e.Data) != c.data || e.DataContentType != c.contentType {
			t.Errorf("%s: data is %s (%s), want %s", c.action, e.Data, e.DataContentType, c.data)
		}
		if c.data == "" && !strings.HasPrefix(string(e.Data), `{"rule":"a","event":`) {
			t.Errorf("the default data is %s", e.Data)
		}
		e.Data, e.DataContentType = nil, ""
		want := cloudEvent{SpecVersion: "1.0", ID: a.ID, Source: "/dgworker/bots/support", Type: "dgworker.tool_action_result",
			Time: "2026-11-20T10:30:00.123Z", Subject: "p1"}
		if e.ID != want.ID || e.Source != want.Source || e.Type != want.Type || e.Time != want.Time || e.Subject != want.Subject || e.SpecVersion != want.SpecVersion {
			t.Errorf("the envelope is %+v, want %+v", e, want)
		}
	}
}

func TestRequestParts(t *testing.T) {
	t.Parallel()
	a, d := rendered(t, `{webhook: hook, method: GET, path: "/ä/x%20y/", query: {a: [1, true], "k&": "v w"}, headers: {x-n: 5}}`, toolDone())
	if d.Result != Fired {
		t.Fatalf("%+v", d)
	}
	if a.Path != "/%C3%A4/x%20y/" || a.Query != "a=1&a=true&k%26=v+w" || a.Headers["X-N"] != "5" || a.Body != nil || a.Method != "GET" {
		t.Errorf("the action is %+v", a)
	}
}

// The same occasion gives the same bytes, and the ids differ where they must.
func TestRenderingIsDeterministic(t *testing.T) {
	t.Parallel()
	set := oneAction(t, inJSON)
	first := decide(t, set, said(map[string]any{"b": 1.0, "a": 2.0, "c": []any{}}))[0].Actions[0]
	for range 20 {
		if again := decide(t, set, said(map[string]any{"c": []any{}, "a": 2.0, "b": 1.0}))[0].Actions[0]; string(again.Body) != string(first.Body) || again.ID != first.ID {
			t.Fatalf("%s and %s", first.Body, again.Body)
		}
	}
	ids := map[string]bool{}
	for _, id := range []string{ActionID("p", "r", 0, 1), ActionID("p", "r", 1, 1), ActionID("p", "r", 0, 2), ActionID("pr", "", 0, 1), ActionID("", "pr", 0, 1)} {
		if ids[id] || !isName(id) {
			t.Errorf("the id %s is there already, or is no name", id)
		}
		ids[id] = true
	}
}

// Whatever the data, each of these ends as an error, and soon. Without its bound each would run for minutes or fill the
// memory, so no clock is needed here, which a busy machine would make lie.
func TestTemplateBombsAreCheap(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("x", 500<<10)
	for _, expression := range []string{
		`repeat(prompt.data.x, 1000000)`, `replace(prompt.data.x, "", prompt.data.x)`, `join(map(1..100000, "a"), prompt.data.x)`,
		`reduce(1..100, #acc + #acc, prompt.data.x)`, `map(1..100000, upper(prompt.data.x))`, `toJSON(map(1..100000, prompt.data.x))`,
		`split(prompt.data.x, "") | map(# + prompt.data.x)`, `concat(1..100000, 1..100000, 1..100000)`, `flatten(map(1..1000, 1..1000))`,
		`let a = prompt.data.x + prompt.data.x; let b = a + a; let c = b + b; let d = c + c; let e = d + d; let f = e + e; f`,
		`let a = [1, 2]; let b = [a, a, a, a, a, a, a, a]; let c = [b, b, b, b, b, b, b, b]; let d = [c, c, c, c, c, c, c, c]; let e = [d, d, d, d, d, d, d, d]; let f = [e, e, e, e, e, e, e, e]; let g = [f, f, f, f, f, f, f, f]; let h = [g, g, g, g, g, g, g, g]; let i = [h, h, h, h, h, h, h, h]; i == i`,
		`let a = [1, 2]; let b = [a, a, a, a, a, a, a, a]; let c = [b, b, b, b, b, b, b, b]; let d = [c, c, c, c, c, c, c, c]; let e = [d, d, d, d, d, d, d, d]; let f = [e, e, e, e, e, e, e, e]; let g = [f, f, f, f, f, f, f, f]; let h = [g, g, g, g, g, g, g, g]; let i = [h, h, h, h, h, h, h, h]; string(i)`,
		`sum(map(1..200000, len(prompt.data.x + "a")))`,
		`uniq(map(1..100000, #))`,
		`count(1..100000, count(1..100000, true) > 1)`, `let xs = 1..100000; count(xs, count(xs, # > 0) > 1)`, `let xs = 1..1200; count(xs, none(xs, # < 0))`,
		`count(1..200000, prompt.data.x contains "y") + count(1..100000, prompt.data.x matches "(x+x+)+y")`,
		`count(1..100000, prompt.data.x matches prompt.data.order_id)`,
		`sortBy(map(1..100000, prompt.data.x), #)`,
		`count(1..200000, len(prompt.data.x) == 1)`, `count(1..200000, prompt.data.x[1:3] == "y")`,
		// much out of little, in a loop: no argument is large
		`count(1..200000, repeat("x", 100000) == "y")`, `count(1..200000, replace(prompt.data.order_id, "A", "` + strings.Repeat("b", 250) + `") == "y")`,
		`count(1..200000, join(["a", "b", "c"], "` + strings.Repeat("b", 250) + `") == "y")`, `count(1..200000, upper("` + strings.Repeat("b", 4_000) + `") == "")`,
		`count(1..200000, len(fromJSON("[` + strings.Repeat("1,", 2_000) + `1]")) == 1)`, `count(1..200000, "` + strings.Repeat("b", 4_000) + `c" matches "(b+)+$")`,
	} {
		a, d := rendered(t, "publish: a\n        body: {v: '{{ "+strings.ReplaceAll(expression, "'", "''")+" }}'}", said(x))
		if d.Result != Error {
			t.Errorf("%s: %s, %d bytes", expression, d.Result, len(a.Body))
		}
	}
}

// Rendering stops where a limit is passed: it doesn't first build what is then refused.
func TestRenderingStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	var bomb any = "x"
	for range 40 {
		bomb = []any{bomb, bomb}
	}
	if _, err := toJSON(bomb); !errors.Is(err, errTooLong) {
		t.Errorf("a value of 2^40 elements: %v", err)
	}
	list := slices.Repeat(jsonList{literalJSON(strings.Repeat("1", 100<<10))}, 1000)
	var w bytes.Buffer
	if err := list.write(nil, &w); !errors.Is(err, errTooLong) || w.Len() > 2*maxBody {
		t.Errorf("%d bytes were written: %v", w.Len(), err)
	}
}

func TestEncodeToken(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, s := range []string{"", "a", "a.b", "a b", "=YQ", "YQ", "a*", ">", strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("a", 95),
		strings.Repeat("a", 96), strings.Repeat("a", 5000), "ü", "\xff", "\x00", "=", "=="} {
		token := EncodeToken(s)
		if other, there := seen[token]; there {
			t.Errorf("%q and %q share the token %s", s, other, token)
		}
		seen[token] = s
		if len(token) == 0 || len(token) > 128 || strings.Trim(token, "=") == "" && s != "" || strings.ContainsAny(token, ". *>\t\r\n") {
			t.Errorf("the token of %q is %q", s, token)
		}
		if isName(s) != (token == s) {
			t.Errorf("the token of %q is %q", s, token)
		}
	}
}

// Deliveries of one value have one order, which says nothing about the value; without a value there is none to send.
func TestOrderOfDeliveries(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Name: "rules.yaml", Text: []byte(`
bots: {support: {key: k}}
webhooks:
  w: {url: https://example.com, secret: ` + validSecret + `, order: prompt.data.order_id}
  free: {url: https://example.com, secret: ` + validSecret + `}
rules:
  - {name: a, on: tool_action_result, actions: [{webhook: w}, {webhook: free}]}
`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	order := func(id any) (string, Decision) {
		o := toolDone()
		o.Prompt.Data = map[string]any{"order_id": id}
		d := decide(t, set, o)[0]
		if d.Result != Fired {
			return "", d
		}
		if d.Actions[1].Order != "" {
			t.Errorf("an endpoint without an order has the order %q", d.Actions[1].Order)
		}
		return d.Actions[0].Order, d
	}
	one, _ := order("A-1")
	again, _ := order("A-1")
	two, _ := order("A 2.>*")
	if one == "" || one != again || one == two || strings.ContainsAny(one+two, " .>*") || strings.Contains(one, "A-1") {
		t.Errorf("orders %q, %q and %q", one, again, two)
	}
	if _, d := order(nil); d.Result != Error || !strings.Contains(d.Reason, "order") {
		t.Errorf("without a value: %s %s", d.Result, d.Reason)
	}
}
