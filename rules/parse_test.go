package rules

import (
	"errors"
	"strings"
	"testing"
)

const validSecret = "whsec_ZGd3b3JrZXItZGVtby1zZWNyZXQtbm90LWZvci11c2U="

// mistake is a file in which each ¦ stands right before a place where a mistake is reported, and what is said there, in
// that order.
type mistake struct {
	name string
	text string
	want []string
}

// inRule is a rule that goes on with text; a line more is an action.
func inRule(text string) string {
	return "rules:\n  - name: a\n    on: final_response\n" + text + "\n    actions: [{reply: x}]\n"
}

func inAction(text string) string {
	return "rules:\n  - name: a\n    on: final_response\n    actions:\n" + text + "\n"
}

func inHook(text string) string {
	return "webhooks:\n  w:\n    secret: " + validSecret + "\n" + text + "\n"
}

// checkMistakes parses each file behind a prefix and compares every problem with its mark.
func checkMistakes(t *testing.T, prefix string, all []mistake) {
	t.Helper()
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, marks := unmark(prefix + m.text)
			_, err := Parse([]File{{Name: "r.yaml", Text: []byte(text)}}, nil)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("the error is %v, want Problems", err)
			}
			if len(problems) != len(m.want) || len(marks) != len(m.want) {
				t.Fatalf("%d problems, %d marks, want %d:\n%v", len(problems), len(marks), len(m.want), err)
			}
			for i, p := range problems {
				if at := (position{p.Line, p.Column}); at != marks[i] {
					t.Errorf("problem is at %v, want %v:\n%v", at, marks[i], p)
				}
				if said := p.Message + "; " + p.Hint; !strings.Contains(said, m.want[i]) {
					t.Errorf("problem is %q, want %q in it", said, m.want[i])
				}
			}
		})
	}
}

// unmark takes the marks out of a text and says where they were.
func unmark(text string) (string, []position) {
	var marks []position
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for {
			before, after, found := strings.Cut(line, "¦")
			if !found {
				break
			}
			marks = append(marks, position{i + 1, len([]rune(before)) + 1})
			line = before + after
		}
		lines[i] = line
	}
	return strings.Join(lines, "\n"), marks
}

func TestMistakesOfYAML(t *testing.T) {
	t.Parallel()
	checkMistakes(t, settings, []mistake{
		{"list not closed", "rules: ¦[a\n", []string{"this is not YAML"}},
		{"unquoted placeholder", inAction("      - reply: ¦{{ prompt.id }}"), []string{"quote this: reply: '{{ prompt.id }}'"}},
		{"unquoted placeholder in a flow map", inAction("      - webhook: hook\n        body: {a: ¦{{ prompt.id }}}"), []string{`quote this: "{{ prompt.id }}"`}},
		{"ternary", inRule("    when: ¦response.text == 'a' ? true : false"), []string{"quote this: when: 'response.text == ''a'' ? true : false'"}},
		{"colon and space", inRule("    when: ¦response.text == a: b"), []string{"quote this"}},
		{"text goes on after its quote", inRule(`    when: ¦"x" in turn.tools`), []string{`quote this: when: '"x" in turn.tools'`}},
		{"exclamation mark", inRule("    when: ¦!conversation.handed_off"), []string{"quote this: '!conversation.handed_off'"}},
		{"comment in an expression", inRule(`    when: response.text contains "a¦ #b"`), []string{`quote this: 'response.text contains "a #b"'`}},
		{"comment in a placeholder", inAction("      - reply: order {{ prompt.id¦ # }}"), []string{"quote this"}},
		{"comment in a text", inAction("      - reply: order¦ #5 please"), []string{"quote this: 'order #5 please'"}},
		{"alias", inRule("    when: ¦*x"), []string{"anchors and aliases are not supported"}},
		{"anchor", "rules: ¦&x []\n", []string{"anchors and aliases are not supported"}},
		{"two documents", "---\n¦a: b\n", []string{"second YAML document"}},
		{"unknown key", "¦rule: []\n", []string{`did you mean "rules"?`}},
		{"key twice", "rules: []\n¦rules: []\n", []string{"twice, first on line 7"}},
		{"not a list", "rules: ¦{a: b}\n", []string{"rules is a list, not a map"}},
		{"not a map", "rules:\n  - ¦5\n  ¦-\n  - ¦[a]\n", []string{"not a number", "not nothing", "not a list"}},
		{"merge key", "rules:\n  - ¦<<: {a: b}\n    name: a\n    on: unknown\n    actions: [{publish: a}]\n", []string{"not plain text"}},
		{"deep", "rules: " + strings.Repeat("[", maxDepth) + "¦[" + "\n", []string{"within each other"}},
	})
}

func TestMistakesOfSettings(t *testing.T) {
	t.Parallel()
	checkMistakes(t, "", []mistake{
		{"empty file", "¦", []string{"nothing here"}},
		{"bot", "bots:\n  a: {key: x, ¦setle: 1s, settle: ¦5}\n  ¦b b: {key: z}\n  ¦c:\n", []string{`did you mean "settle"?`, "not \"5\"", "a name of a bot", "not nothing"}},
		{"bot without key", "bots:\n  ¦a: {settle: 0s}\n  b: {key: ¦''}\n  c: {key: ¦5}\n", []string{"has no key", "key is empty", "quote this"}},
		{"times", "bots:\n  a:\n    key: x\n    settle: ¦-1s\n    turn_timeout: ¦0s\n    connect_timeout: ¦5 minutes\n    conversation_timeout: ¦99999h\n    resume_wait: ¦NaNd\n",
			[]string{"negative", "zero", "is a duration such as", "from 1ms to 7d", "is a duration"}},
		{"numbers", "bots:\n  a:\n    key: x\n    max_turns: ¦many\n    max_events: ¦0\n    max_attempts: ¦'5'\n    max_frame: ¦1TB\n    max_content: ¦99999999999999999\n    rate: ¦0\n    max_conversations: ¦1.5\n",
			[]string{"whole number", "from 1 to 100000", "whole number", "is a size", "is a size", "can't be zero", "whole number"}},
		{"rates", "bots:\n  a: {key: x, rate: ¦10/d}\n  b: {key: x, rate: ¦-1}\n  c: {key: x, rate: ¦fast}\n", []string{"is a rate", "is a rate", "is a rate"}},
		{"words", "bots:\n  a: {key: x, on_handoff: ¦wiat, resend: ¦maybe}\n", []string{`did you mean "wait"?`, "unobserved, never or always"}},
		{"bot's address", "bots:\n  a: {key: x, url: ¦http://h}\n  b: {key: x, url: ¦'wss://u:p@h'}\n  c: {key: x, url: ¦'wss://h/?key=1'}\n  d: {key: x, url: ¦'wss://{{ x }}'}\n",
			[]string{"wss:// or ws://", "no user", "added by dgworker", "literal"}},
		{"times that contradict", "bots:\n  a: {key: x, on_handoff: wait, handoff_wait: 2h, conversation_timeout: ¦1h}\n", []string{"shorter than handoff_wait"}},
		{"variable not set", "bots:\n  a: {key: '¦${NOPE}'}\n  b:\n    key: x-¦${NOPE}\n", []string{"NOPE is not set", "NOPE is not set"}},
		{"variable without name", "bots:\n  a:\n    key: ¦${}\n", []string{"without a variable's name"}},
		{"webhook's name", "webhooks:\n  ¦nats: {}\n  ¦a b: {}\n", []string{"publish actions", "a name of a webhook"}},
		{"webhook without all", "webhooks:\n  ¦¦a: {}\n", []string{"has no url", "has no secret"}},
		{"hostile 1: schemes", inHook("    url: ¦file:///etc/passwd\n    proxy: ¦gopher://x") + "  v: {url: ¦'unix:///x', secret: " + validSecret + "}\n", []string{"https://", "http://", "https://"}},
		{"hostile 2: placeholder in the host", inHook("    url: ¦'https://{{ prompt.bot }}.example.com/'"), []string{"literal"}},
		{"hostile 3: userinfo", inHook("    url: ¦https://u:p@h/"), []string{"user and password"}},
		{"hostile 4: backslash", inHook(`    url: ¦https://good\@evil/`), []string{"no \\"}},
		{"hostile 4: no host", inHook("    url: ¦https:///x"), []string{"no host"}},
		{"hostile 4: no host but a port", inHook("    url: ¦https://:443/x"), []string{"no host"}},
		{"hostile 4: port 0", inHook("    url: ¦https://h:0/"), []string{"1 to 65535"}},
		{"hostile 4: port 99999", inHook("    url: ¦https://h:99999/"), []string{"1 to 65535"}},
		{"hostile 4: port empty", inHook("    url: ¦'https://h:/'"), []string{"1 to 65535"}},
		{"hostile 5: headers", inHook("    url: https://h/\n    headers: {¦host: x, ¦Connection: x, ¦Webhook-Id: x, ¦content-length: x, ¦Transfer-Encoding: x, ¦Idempotency-Key: x, ¦'a b': x, A: ¦\"x\\r\\ny\", b: ¦'{{ x }}', ¦B: ''}"),
			[]string{"Host", "Connection", "webhook-*", "Content-Length", "Transfer-Encoding", "Idempotency-Key", "name", "control character", "literal", "twice"}},
		{"hostile 6: secrets", "webhooks:\n  a: {url: 'https://h', secret: ¦''}\n  b: {url: 'https://h', secret: ¦whsec_c2hvcnQ=}\n  c: {url: 'https://h', secret: ¦[]}\n  d: {url: 'https://h', secret: [" + validSecret + ", ¦whsec_!, ¦" + validSecret + "]}\n",
			[]string{"whsec_", "fewer than 24", "empty list", "not base64", "twice"}},
		{"plain http", inHook("    url: ¦http://10.1.1.1/x\n    allow: [10.2.0.0/16]") + "  v: {url: ¦'http://name/x', secret: " + validSecret + "}\n", []string{"allow", "allow"}},
		{"lists of a webhook", inHook("    url: https://h/\n    retry: [0s, ¦-5s]\n    allow: [¦10/8, ¦x]\n    format: ¦json\n    concurrency: ¦0\n    timeout: ¦0s"),
			[]string{"negative", "networks", "networks", "cloudevents", "from 1", "zero"}},
		{"oauth2", inHook("    url: https://h/\n    ¦¦oauth2: {token_url: ¦'http://h/', ¦scope: x}"), []string{"no client_id", "no client_secret", "plain http", `did you mean "scopes"?`}},
	})
}

func TestMistakesOfRules(t *testing.T) {
	t.Parallel()
	checkMistakes(t, settings, []mistake{
		{"nothing in it", "rules:\n  - ¦¦¦description: x\n", []string{"no name", "no on", "no actions"}},
		{"event type", "rules:\n  - name: a\n    on: ¦tool_actoin\n    actions: [{publish: a}]\n  - name: b\n    on: [unknown, ¦unknown]\n    actions: [{publish: a}]\n  - name: c\n    on: ¦[]\n    actions: [{publish: a}]\n",
			[]string{`did you mean "tool_action"?`, "twice", "on is empty"}},
		{"names", "rules:\n  - name: a\n    on: unknown\n    actions: [{publish: a}]\n  - name: ¦a\n    on: unknown\n    actions: [{publish: a}]\n  - name: ¦a.b\n    on: unknown\n    actions: [{publish: a}]\n  - name: ¦'{{ x }}'\n    on: unknown\n    actions: [{publish: a}]\n",
			[]string{"the first is at r.yaml:8", "a name of a rule", "literal"}},
		{"keys", inRule("    ¦wen: true\n    once: ¦weekly\n    mode: ¦of\n    backstop: ¦1\n    bots: [¦suport]\n    description: ¦5"),
			[]string{`"when"`, "turn, conversation or visitor", `"off"`, "true or false", `"support"`, "quote this"}},
		{"cooldown", inRule("    cooldown: {for: ¦0s, ¦kye: x, key: response.¦txt}"), []string{"zero", `"key"`, `"text"`}},
		{"cooldown without for", inRule("    ¦cooldown: {key: prompt.id}"), []string{"no for"}},
		{"actions", inAction("      - webhook: ¦hok\n      - publish: a\n        ¦path: /x\n      - ¦reply: x\n        publish: y\n      - ¦body: {}\n      - ¦webhok: hook\n      - ¦x"),
			[]string{`"hook"`, "no key \"path\"", "reply and publish", "none of them", `"webhook"`, "not text"}},
		{"no actions", "rules:\n  - name: a\n    on: unknown\n    actions: ¦[]\n", []string{"no actions"}},
		{"reply at the end", "rules:\n  - name: a\n    on: [final_response, conversation_ended]\n    actions: [{¦reply: x}]\n  - name: b\n    on: final_response\n    actions: [{reply: ¦' '}]\n", []string{"no reply on conversation_ended", "reply is empty"}},
		{"environment", inAction("      - reply: ¦${HOME}\n      - reply: a $${HOME} ${x"), []string{"bots and webhooks only"}},
		{"literal places", inAction("      - webhook: ¦'{{ prompt.bot }}'\n      - publish: ¦'{{ prompt.bot }}.x'\n      - publish: ¦'a{{ prompt.bot }}.x'\n      - {webhook: hook, method: ¦'{{ prompt.bot }}'}\n      - {webhook: hook, query: {¦'{{ x }}': y}}\n      - {webhook: hook, body: {¦'{{ x }}': y}}"),
			[]string{"literal", "literal", "literal", "literal", "literal", "literal"}},
		{"subjects", inAction("      - publish: ¦a.*.b\n      - publish: ¦a b\n      - publish: ¦$JS.x\n      - publish: ¦a..b\n      - publish: ¦''\n      - publish: ¦a.>\n      - publish: ¦_INBOX.x"),
			[]string{"wildcard", "white space", "belong to NATS", "empty token", "empty", "wildcard", "belong to NATS"}},
		{"requests", inAction("      - webhook: hook\n        path: ¦x\n        method: ¦post\n        headers: {¦host: x, ¦\"a b\": y, c: ¦\"a\\nb\"}\n        query: ¦\"a b\"\n      - {webhook: hook, path: /a¦?b=c}\n      - {webhook: hook, path: ¦/a/../b}\n      - {webhook: hook, path: ¦/a//b}\n      - {webhook: hook, path: ¦/%2e%2e/b}\n      - {webhook: hook, path: ¦/%zz}"),
			[]string{"begins with /", `"POST"`, "Host", "name", "control character", "as a map", "under query", `".."`, "empty", `".."`, "not escaped"}},
		{"bodies", inAction("      - {webhook: hook, body: ¦'{\"a\": \"{{ prompt.id }}\"}'}\n      - {webhook: hook, ¦body: }\n      - ¦{webhook: hook, method: GET, body: x}\n      - {webhook: hook, body: {a: [b, {c: '{{ prompt.¦idd }}'}]}}"),
			[]string{"written as text", "body is empty", "a GET has no body", `"id"`}},
		{"headers of publish", inAction("      - publish: a\n        headers: {¦Nats-Msg-Id: x, ¦ce-id: y}"), []string{"Nats-*", "ce-*"}},
	})
}

func TestMistakesOfExpressions(t *testing.T) {
	t.Parallel()
	checkMistakes(t, settings, []mistake{
		{"plain", inRule(`    when: response.¦txt == "a"`), []string{`did you mean "text"?`}},
		{"single quoted", inRule(`    when: 'response.text == "it''s" && response.¦txt'`), []string{`"text"`}},
		{"double quoted", inRule(`    when: "response.text == \"\u00e9\x41\\n\" && response.¦txt"`), []string{`"text"`}},
		{"double quoted over lines", inRule("    when: \"response.text == 'a' &&\n      response.¦txt\""), []string{`"text"`}},
		{"plain over lines", inRule("    when: response.text == 'a' &&\n\n      response.¦txt"), []string{`"text"`}},
		{"block", inRule("    when: |\n      response.text == \"é\" &&\n        response.¦txt"), []string{`"text"`}},
		{"folded block", inRule("    when: >-\n      response.text == \"a\" &&\n\n      response.¦txt"), []string{`"text"`}},
		{"placeholder in a block", inAction("      - reply: |\n          Hello ü,\n            {{ response.¦txt }}"), []string{`"text"`}},
		{"placeholder after escapes", inAction(`      - {webhook: hook, body: {a: "\t\u00e9", "b": "x{{ response.¦txt }}"}}`), []string{`"text"`}},
		{"second placeholder", inAction(`      - reply: "ü {{ prompt.id }} ü {{ prompt.¦idd }}"`), []string{`"id"`}},
		{"placeholder without end", inAction(`      - reply: "a ¦{{ prompt.id"`), []string{"without its }}"}},
		{"empty placeholder", inAction(`      - reply: "a {{¦ }}"`), []string{"empty"}},
		{"field that no type has", inRule("    when: event.¦tool == 'x'"), []string{"event.tool is not there on final_response"}},
		{"field by its name in brackets", inRule("    when: event[¦'tool'] == 'x'"), []string{"event.tool is not there"}},
		{"optional field", inRule("    when: event?.¦tool == 'x'"), []string{"event.tool is not there"}},
		{"computed field", inRule("    when: event[prompt.¦id] == 'x'"), []string{"named, not computed"}},
		{"field without its name", inRule("    when: ¦tool == 'x'"), []string{`did you mean "event.tool"?`}},
		{"function", inRule("    when: ¦lenn(response.text) > 1"), []string{`did you mean "len"?`}},
		{"arguments", inRule("    when: ¦number(5, 6) > 1"), []string{"too many arguments"}},
		{"types", inRule("    when: response.text ¦> 1"), []string{"mismatched types string and int"}},
		{"not a condition", inRule("    when: ¦response.text"), []string{"a condition is true or false, and this is text"}},
		{"number for a condition", inRule("    when: ¦len(response.text)"), []string{"this is a number"}},
		{"placeholder for a condition", inRule("    when: ¦'{{ true }}'"), []string{"no {{ }} around it"}},
		{"empty condition", inRule("    when: '¦'"), []string{"empty"}},
		{"environment", inRule("    when: ¦$env.HOME == ''"), []string{"not available"}},
		{"environment in a function", inRule("    when: len(¦$env) > 1"), []string{"not available"}},
		{"time zones", inRule("    when: ¦timezone('UTC') != nil"), []string{"not available"}},
		{"zone of the machine", inRule("    when: event.at.¦Local().Hour() > 1"), []string{"not available"}},
		{"meter", inRule("    when: ¦__meter != nil"), []string{"unknown name"}},
		{"meter's function", inRule("    when: ¦__tick(1)"), []string{"unknown function"}},
		{"let over a name", inRule("    when: let ¦event = 1; event == 1"), []string{"can't redefine"}},
		{"nesting", inRule("    when: all(1..3, all(1..3, all(1..3, ¦true)))"), []string{"at most 2"}},
		{"pattern", inRule("    when: response.text matches ¦\"(\""), []string{"bad pattern"}},
		{"pattern of capture", inRule("    when: capture(response.text, ¦\"(\") == ''"), []string{"bad pattern"}},
		{"pattern too large", inRule("    when: response.text matches ¦\"a{900}b{900}c{900}\""), []string{"the pattern is too large"}},
		{"pattern far too large", inRule("    when: response.text matches ¦\"((a{100}){100}){10}\""), []string{"pattern"}},
		{"not RE2", inRule("    when: response.text matches ¦\"(?=a)\""), []string{"bad pattern"}},
		{"too long", inRule("    when: '¦" + strings.Repeat("(", maxExpression+1) + "'"), []string{"at most"}},
	})
}

// Every mistake of several files is reported, in their order, and names are unique across them.
func TestMistakesOfSeveralFiles(t *testing.T) {
	t.Parallel()
	_, err := Parse([]File{
		{Name: "b.yaml", Text: []byte("rules:\n  - name: a\n    on: unknown\n    actions: [{publish: a}]\n  - name: x\n    on: unknown\n    actions: [{webhook: w}]\n")},
		{Name: "a.yaml", Text: []byte("bots: {b: {key: x}}\nrules:\n  - name: a\n    on: unknown\n    actions: [{publish: a}]\n")},
		{Name: "c.yaml", Text: []byte("bots: {b: {key: x}}\nx: [\n")},
		{Name: "d.yaml", Text: []byte("bots: {b: {key: x}}\nwebhooks: {w: {url: 'https://h', secret: " + validSecret + "}}\n")},
	}, nil)
	want := []string{`a.yaml:3:11: a second rule "a": the first is at b.yaml:2`, "c.yaml:2:4: this is not YAML", `d.yaml:1:8: the bot "b" is in another file`}
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != len(want) {
		t.Fatalf("the error is %v", err)
	}
	for i, p := range problems {
		if !strings.HasPrefix(p.String(), want[i]) {
			t.Errorf("problem %d is %v, want %s", i, p, want[i])
		}
	}
}

// No secret is in a message, whatever is wrong with it or beside it.
func TestMistakesShowNoSecret(t *testing.T) {
	t.Parallel()
	environment := func(name string) (string, bool) { return "hunter2-" + name + " \n", true }
	for i, text := range []string{
		"bots: {a: {key: 'hunter2', settle: x, url: '${U}'}}\n",
		"bots: {a: {key: [hunter2]}}\n",
		"bots:\n  a:\n    key: |\n      hunter2\n    settle: x\n",
		"webhooks: {a: {url: '${U}', secret: hunter2, proxy: '${U}'}}\n",
		"webhooks: {a: {url: 'https://h:x/', secret: ['${S}', whsec_hunter2, {a: hunter2}]}}\n",
		"webhooks: {a: {ulr: x, headers: {Authorization: 'Bearer hunter2', X: 'hunter2', Host: \"hunter2\"}}}\n",
		"webhooks: {a: {headers: {Authorization: '${H}', B: [hunter2]}}}\n",
		"webhooks: {a: {oauth2: {token_url: '${U}', client_secret: hunter2, client_id: ''}}}\n",
		"webhooks:\n  a:\n    secret: hunter2\n    secret: {{ hunter2 }}\n",
		"webhooks:\n  a:\n    secret: 'hunter2' hunter2\n",
		"webhooks:\n  a: {secret: hunter2, client_secret: \"hunter2\", [\n",
		"webhooks: {a: {timeout: '${T}', concurrency: '${T}', rate: '${T}', format: '${T}', allow: '${T}', retry: ['${T}']}}\n",
		"bots: {a: {max_frame: '${T}', on_handoff: '${T}'}}\n",
	} {
		_, err := Parse([]File{{Name: "r.yaml", Text: []byte(text)}}, environment)
		if err == nil {
			t.Errorf("file %d has no mistake", i)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is shown: %v", err)
		}
	}
}

func TestProblemIsShownWithItsLine(t *testing.T) {
	t.Parallel()
	p := Problem{File: "r.yaml", Line: 3, Column: 9, Message: "what is wrong", Hint: "what to do", Source: "\ta: [é, x]"}
	want := "r.yaml:3:9: what is wrong; what to do\n     a: [é, x]\n            ^"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	long := Problem{File: "r", Line: 1, Column: 500, Source: strings.Repeat("x", 1000)}
	if got := long.String(); len(got) > 600 {
		t.Errorf("a long line is shown with %d bytes", len(got))
	}
}

func TestNearNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, want string }{
		{"tool_actoin", "tool_action"}, {"final_respone", "final_response"}, {"settel", "settle"}, {"x", ""}, {"completely", ""}, {"Settle", "settle"},
	} {
		if got := nearest(c.name, []string{"tool_action", "tool_action_result", "final_response", "settle"}); got != c.want {
			t.Errorf("nearest(%q) is %q, want %q", c.name, got, c.want)
		}
	}
}
