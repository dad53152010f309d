package ruletest

import (
	"time"

	"dgworker/rules"
)

// Fixture is one file of tests.
//
// Its form, with every key:
//
//	rules: rules.yaml               # a rules file or folder, relative to the fixture; --rules takes its place
//	tests:
//	  - name: a refund is booked
//	    start: 2026-01-05T10:00:00Z # when the clock begins; this is the default
//	    claimed:                    # claims that others hold at the start: {rule, until}; without until for ever
//	      - {rule: human-needed, until: 10m}
//	    prompt:                     # all optional; the bot is the only one that the rules have
//	      {id: p1, bot: support, visitor_id: v-1, content: "…", messages: ["…"], data: {…}, headers: {…}}
//	    greeting: []                # events before the first turn
//	    events:                     # of one turn, or `turns`, a list of {message, after, at, events}
//	      - {type: tool_action, tool: issue_refund}
//	      - {after: 2s, type: tool_action_result, tool: issue_refund, status: done}
//	      - {after: 1s, type: final_response, text: "Your refund is on its way."}
//	      - {type: conversation_ended, status: completed}
//	    expect:
//	      fired:
//	        - {rule: refund-issued, webhook: refunds, path: /orders/A-1042/refunded, body: {order: A-1042}}
//	      suppressed: [{rule: human-needed, why: cooldown, until: 10m}]
//	      errors: [{rule: broken, reason: part of the reason}]
//	      shadow: [went-wrong]
//
// The clock moves with the events: `after` is the time since the event before, `at` a time after the start (10m), or a
// moment (RFC 3339); without either no time passes. Which keys an event has follows from its type, as in an outcome;
// `raw`, which rules see as event.raw, is by default the frame that DGbot would have sent. A turn's message is by default the prompt's, or the reply
// that a rule fired. A test of several conversations, say of a cooldown, has `conversations`, a list of {prompt, after,
// at, greeting, events or turns, expect}, which share the clock and the claims.
//
// What is not expected must not happen: each action that fired must be expected, and each that is expected must have
// fired, in any order. Without `fired` nothing may fire, without `errors` no rule may fail; `suppressed` and `shadow` are
// compared where they are given, and [] means none. An entry that is a rule's name alone, or has no key of an action,
// stands for all that the rule did on one event. Of an action only what is given is compared: `body` whole (numbers by
// value, JSON whatever its spacing), `body_has` for the keys that it has, of `headers` those that are named.
type Fixture struct {
	Name  string
	Tests []*Test
}

// Test is one test of a fixture.
type Test struct {
	Name          string
	Line          int // where it stands in its file
	set           *rules.Set
	start         time.Time
	claimed       []claimed
	conversations []*conversation
}

// claimed is a claim that somebody else holds at the start of a test.
type claimed struct {
	rule  string
	until time.Time // zero is for ever
}

// conversation is what happens in one, and what is expected of the rules.
type conversation struct {
	prompt   rules.Prompt
	visitor  string
	messages []string // the prompt's own
	greeting []happening
	turns    []turn
	expect   expectation
}

type turn struct {
	message string // "" is what comes next: the prompt's own, or a reply
	events  []happening
}

// happening is an event at its time.
type happening struct {
	event    rules.Event
	response *rules.Response
}

// defaultStart is a Monday morning: a time at which nothing special is.
var defaultStart = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
