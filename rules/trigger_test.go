package rules

import (
	"strings"
	"testing"
	"time"
)

// trigger parses one trigger whose first lines are given.
func trigger(t testing.TB, text string) *Trigger {
	t.Helper()
	return parse(t, "triggers:\n  - name: late\n    bot: support\n"+text).Triggers()[0]
}

const onOrders = "    subject: orders.>\n"

func order(payload string) TriggerEvent {
	return NewTriggerEvent("orders.delayed.eu", map[string][]string{"X-Region": {"eu", "us"}}, []byte(payload), time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC))
}

func TestTriggerRendersPrompt(t *testing.T) {
	t.Parallel()
	tr := trigger(t, onOrders+`    when: 'event.data.days_late > 3 && event.headers["X-Region"] == "eu"'
    id: "late-{{ event.data.order_id }}"
    visitor_id: "order-{{ event.data.order_id }}"
    content: "Order {{ event.data.order_id }} is {{ event.data.days_late }} days late."
    messages: ["{{ event.data.note }}", "On {{ event.subject }} at {{ now() }}"]
    data: "{{ event.data }}"
`)
	p, held, err := tr.Render(order(`{"order_id":12345678901,"days_late":4,"note":"{{ event.subject }} \"quoted\""}`))
	if err != nil || !held {
		t.Fatalf("held %v, error %v", held, err)
	}
	if p.ID != "late-12345678901" || p.VisitorID != "order-12345678901" {
		t.Errorf("id %q, visitor %q", p.ID, p.VisitorID)
	}
	want := []string{
		"Order 12345678901 is 4 days late.",
		`{{ event.subject }} "quoted"`, // what an event says is data: never expanded again, never escaped for JSON
		"On orders.delayed.eu at 2026-11-20T10:30:00.000Z",
	}
	if strings.Join(p.Messages, "|") != strings.Join(want, "|") {
		t.Errorf("messages are %q", p.Messages)
	}
	if string(p.Data) != `{"days_late":4,"note":"{{ event.subject }} \"quoted\"","order_id":12345678901}` {
		t.Errorf("data is %s", p.Data)
	}
	if _, held, err := tr.Render(order(`{"order_id":1,"days_late":3}`)); held || err != nil {
		t.Errorf("3 days: held %v, error %v", held, err)
	}
}

func TestTriggerDataKeepsTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ data, payload, want string }{
		{`"{{ event.data.n }}"`, `{"n":7}`, `7`},
		{`"{{ event.data.n }}!"`, `{"n":7}`, `"7!"`},
		{`{id: "{{ event.data.n }}", deep: ["{{ event.data.flag }}", 1.5, null]}`, `{"n":7,"flag":true}`, `{"id":7,"deep":[true,1.5,null]}`},
		{`"{{ event.data }}"`, `just text`, `"just text"`},
		{`"{{ event.data }}"`, ``, `null`},
		{`"{{ event.data }}"`, `{"a":1} {"b":2}`, `"{\"a\":1} {\"b\":2}"`}, // two values are not JSON
		{`"{{ event }}"`, `1`, `{"subject":"orders.delayed.eu","at":"2026-11-20T10:30:00Z","headers":{"X-Region":"eu"},"data":1}`},
	} {
		p, _, err := trigger(t, onOrders+"    content: x\n    data: "+c.data+"\n").Render(order(c.payload))
		if err != nil || string(p.Data) != c.want {
			t.Errorf("data %s of %s is %s (%v), want %s", c.data, c.payload, p.Data, err, c.want)
		}
	}
}

func TestTriggerThatCannotRender(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ keys, payload, want string }{
		{`    when: event.data.days > 3` + "\n    content: x\n", `{"days":"many"}`, "when: event.data.days > 3"},
		{`    content: "{{ event.data.id }}"` + "\n", `{}`, "message 1: {{ event.data.id }}: the value is nil"},
		{`    content: "{{ event.data.id }}"` + "\n", `{"id":"  "}`, "message 1: it is empty"},
		{"    messages: [x, \"{{ event.data.id }}\"]\n", `{"id":["` + strings.Repeat("x", 40<<10) + `"]}`, "message 2: it is too long: over 32KiB"},
		{"    content: x\n    visitor_id: \"{{ event.data.id }}\"\n", `{"id":""}`, "visitor_id: it is empty"},
		{"    content: x\n    visitor_id: \"{{ event.data.id }}\"\n", `{"id":["a"]}`, "visitor_id: {{ event.data.id }}: the value is a list, not text"},
		{"    content: x\n    id: \"{{ event.data.id }}\"\n", `{"id":"` + strings.Repeat("x", 257) + `"}`, "id: it is too long: over 256"},
		{"    content: x\n    data: \"{{ event.data.a.b }}\"\n", `{"a":1}`, "data: event.data.a.b"},
	} {
		_, held, err := trigger(t, onOrders+c.keys).Render(order(c.payload))
		if err == nil || held || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: held %v, error %v, want %q in it", c.keys, held, err, c.want)
		}
	}
}

func TestTriggerReadsCloudEvents(t *testing.T) {
	t.Parallel()
	const structured = `{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.delayed","time":"2026-11-20T10:00:00Z","tenant":7,"data":{"order_id":9}}`
	binary := map[string][]string{"ce-id": {"e-1"}, "ce-source": {"/shop"}, "Ce-Type": {"order.delayed"}, "ce-subject": {"caf%C3%A9"}, "Content-Type": {"application/json"}}
	at := time.Now()
	for name, c := range map[string]struct {
		ev   TriggerEvent
		want string
	}{
		"binary":     {NewTriggerEvent("s", binary, []byte(`{"order_id":9}`), at), "e-1 /shop order.delayed café application/json 9"},
		"structured": {NewTriggerEvent("s", map[string][]string{"content-type": {"application/cloudevents+json; charset=utf-8"}}, []byte(structured), at), "e-1 /shop order.delayed   9"},
		"unlabelled": {NewTriggerEvent("s", nil, []byte(structured), at), "e-1 /shop order.delayed   9"},
		"base64":     {NewTriggerEvent("s", nil, []byte(`{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.delayed","data_base64":"eyJvcmRlcl9pZCI6OX0="}`), at), "e-1 /shop order.delayed   9"},
	} {
		tr := trigger(t, onOrders+"    when: event.ce.type == \"order.delayed\"\n    content: '{{ event.ce.id }} {{ event.ce.source }} {{ event.ce.type }} {{ event.ce.subject }} {{ event.ce.datacontenttype }} {{ event.data.order_id }}'\n")
		p, held, err := tr.Render(c.ev)
		if err != nil || !held || p.Messages[0] != c.want {
			t.Errorf("%s: %q, held %v, error %v; want %q", name, p.Messages, held, err, c.want)
		}
		if id := c.ev.ID(); id != "ce /shop e-1" {
			t.Errorf("%s: the event's id is %q", name, id)
		}
	}
	if ev := NewTriggerEvent("s", nil, []byte(`{"id":"1","type":"x","data":1}`), at); len(ev.CE) > 0 || ev.ID() != "" {
		t.Errorf("a plain object is no CloudEvent: %v", ev)
	}
	if id := NewTriggerEvent("s", map[string][]string{"Nats-Msg-Id": {"m-1"}, "ce-id": {"e"}}, nil, at).ID(); id != "msg s m-1" {
		t.Errorf("the id is %q", id)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"cron: '0 7 * * MON-FRI'":   "0 0 7 * * 1,2,3,4,5",
		"cron: '*/15 * * * *'":      "0 0,15,30,45 * * * *",
		"cron: '5/20 9-17/4 * * *'": "0 5,25,45 9,13,17 * * *",
		"cron: '0 0 1,15 jan ?'":    "0 0 0 1,15 1 *",
		"cron: '0 0 * * 7'":         "0 0 0 * * 0",
		"cron: '0 0 * * fri-mon'":   "0 0 0 * * 0,1,5,6",
		"cron: '0 22-2 * * *'":      "0 0 0,1,2,22,23 * * *",
		"cron: '0 0 29 2 *'":        "0 0 0 29 2 *",
		"cron: '@daily'":            "0 0 0 * * *",
		"every: 90s":                "@every 1m30s",
		"every: 1d":                 "@every 24h0m0s",
	} {
		tr := trigger(t, "    "+source+"\n    content: x\n")
		if got := tr.Schedule(); got != want || !tr.Scheduled() {
			t.Errorf("%s is %q, want %q", source, got, want)
		}
	}
}

func TestMistakesOfTriggers(t *testing.T) {
	t.Parallel()
	in := func(text string) string {
		return "triggers:\n  - name: a\n    bot: support\n    content: x\n" + text + "\n"
	}
	checkMistakes(t, "bots: {support: {key: k}}\n", []mistake{
		{"not a list", "triggers: ¦{a: 1}\n", []string{"triggers is a list, not a map"}},
		{"nothing", "triggers:\n  - ¦¦¦¦description: x\n", []string{"no name", "no bot", "neither content nor messages", "no subject"}},
		{"unknown key", in("    subject: a\n    ¦subjekt: b"), []string{`did you mean "subject"?`}},
		{"unknown bot", "triggers:\n  - name: a\n    bot: ¦suport\n    content: x\n    subject: a\n", []string{`did you mean "support"?`}},
		{"name", "triggers:\n  - name: ¦a b\n    bot: support\n    content: x\n    subject: a\n", []string{"a name of a trigger"}},
		{"twice", in("    subject: a") + "  - name: ¦a\n    bot: support\n    content: x\n    subject: b\n", []string{"a second trigger"}},
		{"two sources", in("    subject: a\n    ¦cron: '@daily'"), []string{"this one has subject and cron; make a trigger of each"}},
		{"start of cron", in("    cron: '@daily'\n    ¦start: all"), []string{"start is for triggers with a subject"}},
		{"zone of every", in("    every: 1m\n    ¦timezone: UTC"), []string{"timezone is for cron alone"}},
		{"start", in("    subject: a\n    start: ¦yesterday"), []string{"start is all, new or a time"}},
		{"every", in("    every: ¦10ms"), []string{"every is from 1s to"}},
		{"zone", in("    cron: '@daily'\n    timezone: ¦Europe/Berlino"), []string{"timezone is a name such as Europe/Berlin"}},
		{"local zone", in("    cron: '@daily'\n    timezone: ¦Local"), []string{"timezone is a name"}},
		{"cron fields", in("    cron: ¦'0 7 * *'"), []string{"cron has 5 fields"}},
		{"cron value", in("    cron: ¦'61 7 * * *'"), []string{`cron, minute: "61" is not from 0 to 59`}},
		{"cron weekday", in("    cron: ¦'0 7 * * MO'"), []string{`cron, day of the week: "MO" is not from 0 to 7 or from SUN to SAT`}},
		{"cron step", in("    cron: ¦'*/0 7 * * *'"), []string{"a step is a whole number from 1"}},
		{"cron never", in("    cron: ¦'0 0 31 2,4 *'"), []string{"that day never comes"}},
		{"cron name", in("    cron: ¦'@noon'"), []string{"cron knows no @noon"}},
		{"empty subject", in("    subject: ¦''"), []string{"it is empty"}},
		{"everything", in("    subject: ¦'>'"), []string{"an endless loop"}},
		{"wildcard in a token", in("    subject: ¦orders.eu*"), []string{"a wildcard is a token of its own"}},
		{"tail", in("    subject: ¦'orders.>.eu'"), []string{"> stands at the end only"}},
		{"empty token", in("    subject: ¦orders..eu"), []string{"no empty token"}},
		{"space", in("    subject: ¦'orders. eu'"), []string{"no white space"}},
		{"inbox", in("    subject: ¦_INBOX.>"), []string{"subjects under _INBOX belong to NATS"}},
		{"template in the subject", in("    subject: ¦'a.{{ event.subject }}'"), []string{"subject is literal"}},
		{"root", in("    subject: a\n    when: '¦prompt.data.x > 1'"), []string{"unknown name prompt"}},
		{"field", in("    subject: a\n    when: 'event.¦date.x > 1'"), []string{`did you mean "data"?`}},
		{"field of a rule's event", in("    subject: a\n    when: 'event.¦tool == \"x\"'"), []string{"event has no field tool"}},
		{"alone", in("    subject: a\n    when: '¦headers[\"a\"] == \"x\"'"), []string{`did you mean "event.headers"?`}},
		{"not true or false", in("    subject: a\n    when: '¦event.subject'"), []string{"a condition is true or false, and this is text"}},
		{"type", in("    subject: a\n    when: 'event.subject ¦> 3'"), []string{"invalid operation"}},
		{"template", in("    subject: a\n    visitor_id: 'x-{{ ¦evnt.data }}'"), []string{`did you mean "event"?`}},
		{"no messages", "triggers:\n  - name: a\n    bot: support\n    subject: a\n    messages: ¦[]\n", []string{"messages is empty"}},
		{"empty content", "triggers:\n  - name: a\n    bot: support\n    subject: a\n    content: ¦''\n", []string{"content is empty"}},
		{"environment", in("    subject: a\n    id: '¦${HOME}'"), []string{"the environment is read in bots and webhooks only"}},
	})
}
