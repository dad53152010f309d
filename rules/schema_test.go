package rules

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holds says whether the schema accepts a rules file.
func schemaAccepts(t *testing.T, s *jsonschema.Schema, text string) bool {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(inst) == nil
}

const schemaBase = "bots: {b: {key: k}}\nwebhooks: {w: {url: https://example.com, secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=}}\n"

// TestSchemaAgreesWithParse holds the schema against the parser: what is right is right under both, and every structural
// mistake is one under both.
func TestSchemaAgreesWithParse(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	rule := func(text string) string { return schemaBase + "rules:\n  - " + text + "\n" }
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{string(Example().Text), true},
		{rule(`{name: a, on: tool_action, actions: [{publish: a.b}]}`), true},
		{rule(`{name: a, on: [tool_action, agent_left], when: true, actions: [{publish: a.b, body: {x: [1]}}, {webhook: w, path: /x, method: PUT}]}`), true},
		{rule(`{name: a, on: final_response, once: visitor, cooldown: 10m, backstop: true, mode: shadow, bots: b, actions: [{reply: Hello}]}`), true},
		{rule(`{name: a, on: final_response, cooldown: {for: 10m, key: prompt.id}, description: d, actions: [{reply: Hello}]}`), true},
		{"bots: {b: {key: k, settle: 0s, rate: 10/s, max_frame: 1MiB, max_events: 5, on_handoff: wait, resend: never}}\n", true},
		{"bot: {}\n", false},
		{"bots: {b: {key: k, settel: 1s}}\n", false},
		{"bots: {b: {key: k, on_handoff: stop}}\n", false},
		{"bots: {b: {key: k, max_turns: many}}\n", false},
		{"bots: {b: {key: k, max_turns: 0}}\n", false},
		{"bots: {'no good': {key: k}}\n", false},
		{"bots: [b]\n", false},
		{"webhooks: {w: {url: https://example.com}}\n", false},
		{"webhooks: {w: {secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=}}\n", false},
		{"webhooks: {w: {url: https://example.com, secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=, format: xml}}\n", false},
		{"webhooks: {w: {url: https://example.com, secret: whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=, oauth2: {client_id: a}}}\n", false},
		{rule(`{on: tool_action, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action}`), false},
		{rule(`{name: a, on: tool_action, actions: []}`), false},
		{rule(`{name: a, on: tool_act, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, then: x, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, once: forever, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, mode: dry, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, backstop: perhaps, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, cooldown: {key: prompt.id}, actions: [{publish: a.b}]}`), false},
		{rule(`{name: a, on: tool_action, actions: [{publish: a.b, reply: x}]}`), false},
		{rule(`{name: a, on: tool_action, actions: [{publish: a.b, path: /x}]}`), false},
		{rule(`{name: a, on: tool_action, actions: [{webhook: w, method: FETCH}]}`), false},
		{rule(`{name: a, on: tool_action, actions: [{email: x}]}`), false},
		{rule(`{name: "a b", on: tool_action, actions: [{publish: a.b}]}`), false},
		{schemaBase + "triggers:\n  - {name: t, bot: b, subject: a.b, content: x, whne: true}\n", false},
		{schemaBase + "triggers:\n  - {name: t, subject: a.b, content: x}\n", false},
		{schemaBase + "triggers:\n  - {name: t, bot: b, subject: a.b, content: x}\n", true},
	} {
		_, err := Parse([]File{{"rules.yaml", []byte(tc.text)}}, func(string) (string, bool) { return "", false })
		if got := err == nil; got != tc.ok {
			t.Errorf("Parse accepts: %t, want %t: %v\n%s", got, tc.ok, err, tc.text)
		}
		if got := schemaAccepts(t, s, tc.text); got != tc.ok {
			t.Errorf("the schema accepts: %t, want %t\n%s", got, tc.ok, tc.text)
		}
	}
}
