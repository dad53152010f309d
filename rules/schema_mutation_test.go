package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// wholeFile has every key of a rules file, in every form that it may have.
const wholeFile = `
bots:
  support:
    key: ${KEY:k}
    url: wss://example.com/ws
    ca: /etc/ssl/roots.pem
    settle: 500ms
    connect_timeout: 10s
    turn_timeout: 5m
    conversation_timeout: 2h
    on_handoff: wait
    handoff_wait: 30m
    resend: never
    resume_wait: 0
    max_attempts: 5
    max_turns: ${TURNS:7}
    max_conversations: 0
    rate: 10/s
    max_frame: 1MiB
    max_transcript: 4096
    max_events: 10
    max_content: 32KiB
    breaker: {requests: 10, ratio: 50%, window: 60s, open: 1s, max_open: 30s}
  other: {key: k, rate: 0.5}
webhooks:
  office:
    url: https://example.com/hooks
    secret: [whsec_ZGd3b3JrZXItdGVzdC1zZWNyZXQtbm90LWZvci11c2U=]
    timeout: 20s
    concurrency: 8
    rate: 50/s
    headers: {X-Team: back-office}
    retry: [0s, 5s, 7d]
    ca: /etc/ssl/office.pem
    client_cert: /etc/ssl/dgworker.pem
    oauth2: {token_url: https://login.example.com/token, client_id: a, client_secret: b, scopes: [c, d]}
    format: cloudevents
    allow: [10.20.0.0/16, "::1"]
    proxy: http://proxy.example.com:3128
    order: prompt.data.order_id
    connect_timeout: 5s
    tls_timeout: 5s
    header_timeout: 15s
    body_timeout: 2s
    idle_timeout: 30s
    stale_within: 1s
    max_retry_after: 24h
    jitter: 20%
    client_error_attempts: 3
    max_response_header: 64KiB
    max_response: 4096
    max_drain: 64KiB
    max_url: 2KiB
    max_header: 4KiB
    max_body: 256KiB
    breaker: {requests: 10, ratio: 0.5, window: 60s, open: 30s, max_open: 10m}
triggers:
  - {name: late, description: d, subject: orders.delayed.>, start: all, when: event.data.n > 3, bot: support, id: "l-{{ event.data.n }}", visitor_id: v, content: c, messages: [m], data: "{{ event.data }}"}
  - {name: daily, cron: "0 7 * * MON-FRI", timezone: Europe/Berlin, bot: support, messages: [a, b], data: {n: [1, null, x]}}
  - {name: often, every: 15m, when: true, bot: support, content: c}
rules:
  - name: all
    description: d
    on: [tool_action, tool_action_result]
    when: event.tool == "a"
    bots: [support, other]
    once: conversation
    cooldown: {for: 10m, key: conversation.visitor_id}
    backstop: true
    mode: shadow
    actions:
      - {webhook: office, path: /x, query: {a: b, c: [d, 1]}, method: PUT, headers: {X-A: b, X-N: 7}, body: {a: [1, "{{ event.tool }}", null]}}
      - {publish: a.b, headers: {A: b}, body: text}
      - {reply: Hello}
  - {name: short, on: final_response, when: true, bots: support, cooldown: 10m, actions: [{webhook: office, query: a=b}]}
`

// mutant is a copy of a file with one change at a place.
type mutant struct {
	what string
	root any
}

// mutants makes every structural change of a file: at each place each other kind of value, each key left out, misspelt, and
// one too many. What the names of bots and webhooks are is no matter of structure.
func mutants(root any) []mutant {
	var all []mutant
	visit(root, nil, func(path []any, v any) {
		for _, other := range []any{map[string]any{"x": 1}, []any{"x"}, "xy", 7, -1, 1.5, true, nil, map[string]any{}, []any{}, ""} {
			if len(path) > 0 && !sameKind(v, other) {
				all = append(all, mutant{fmt.Sprintf("%v is %v", path, other), replaced(root, path, other)})
			}
		}
		m, isMap := v.(map[string]any)
		if !isMap || len(path) == 1 { // the names of bots and webhooks
			return
		}
		for k := range m {
			without, misspelt := maps.Clone(m), maps.Clone(m)
			delete(without, k)
			delete(misspelt, k)
			misspelt[k+"x"] = m[k]
			all = append(all, mutant{fmt.Sprintf("%v without %s", path, k), replaced(root, path, without)},
				mutant{fmt.Sprintf("%v with %sx for %s", path, k, k), replaced(root, path, misspelt)})
		}
		more := maps.Clone(m)
		more["zzz"] = 1
		all = append(all, mutant{fmt.Sprintf("%v with zzz", path), replaced(root, path, more)})
	})
	return all
}

func sameKind(a, b any) bool {
	_, aText := a.(string)
	_, bText := b.(string)
	return aText && bText && b != "" || fmt.Sprint(a) == fmt.Sprint(b)
}

// visit calls see with every value and its path.
func visit(v any, path []any, see func([]any, any)) {
	see(path, v)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			visit(v[k], append(slices.Clone(path), k), see)
		}
	case []any:
		for i := range v {
			visit(v[i], append(slices.Clone(path), i), see)
		}
	}
}

// replaced is root with another value at path.
func replaced(root any, path []any, v any) any {
	if len(path) == 0 {
		return v
	}
	switch at := path[0].(type) {
	case string:
		m := maps.Clone(root.(map[string]any))
		m[at] = replaced(m[at], path[1:], v)
		return m
	default:
		l := slices.Clone(root.([]any))
		l[at.(int)] = replaced(l[at.(int)], path[1:], v)
		return l
	}
}

// TestSchemaAgreesAboutEveryStructure holds schema and parser against each other over every structural change of two files
// that have everything. Some is meant to be left to the parser: what one part says of another.
func TestSchemaAgreesAboutEveryStructure(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	lookup := func(string) (string, bool) { return "", false }
	for _, text := range []string{wholeFile, string(Example().Text)} {
		if _, err := Parse([]File{{"rules.yaml", []byte(text)}}, lookup); err != nil {
			t.Fatal(err)
		}
		var root any
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		n, wrong := 0, 0
		for _, m := range mutants(root) {
			data, err := json.Marshal(m.root)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse([]File{{"rules.yaml", data}}, lookup)
			parses, valid := err == nil, schemaAccepts(t, s, string(data))
			n++
			if parses == valid || valid && aboutAnother(err) {
				continue
			}
			if wrong++; wrong <= 30 {
				t.Errorf("%s: the parser accepts it: %t, the schema: %t\n%.300v", m.what, parses, valid, err)
			}
		}
		t.Logf("%d changes, %d disagreements", n, wrong)
	}
}

// aboutAnother says whether every mistake is about what another part of the file says, or about an expression.
func aboutAnother(err error) bool {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !strings.HasPrefix(line, "rules.yaml:") {
			continue
		}
		if !slices.ContainsFunc([]string{"unknown bot", "unknown webhook", "unknown name", "plain http", "shorter than handoff_wait", "expression is empty"},
			func(s string) bool { return strings.Contains(line, s) }) {
			return false
		}
	}
	return true
}
