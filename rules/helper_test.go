package rules

import (
	"context"
	"strings"
	"testing"
	"time"
)

// settings is what the rules of the tests run over.
const settings = `bots:
  support: {key: demo}
  sales: {key: demo, max_content: 64}
webhooks:
  hook: {url: "https://hooks.example.com/in", secret: whsec_ZGd3b3JrZXItZGVtby1zZWNyZXQtbm90LWZvci11c2U=}
  events: {url: "https://hooks.example.com/ce", format: cloudevents, secret: whsec_ZGd3b3JrZXItZGVtby1zZWNyZXQtbm90LWZvci11c2U=}
`

func parse(t testing.TB, rules string) *Set {
	t.Helper()
	set, err := Parse([]File{{Name: "rules.yaml", Text: []byte(settings + rules)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// toolDone is an event with all that one can have.
func toolDone() *Occasion {
	return &Occasion{Occurrence: 3, Facts: Facts{
		Event: Event{
			Type: ToolActionResult, At: time.Date(2026, 11, 20, 10, 30, 0, 123456789, time.UTC), Tool: "issue_refund", Status: "done",
			Raw: map[string]any{"type": "tool_action_result", "tool": "issue_refund", "status": "done", "cost": 12.5},
		},
		Response:     Response{Text: "Your refund is on its way.", MessageID: "m1"},
		Turn:         Turn{Index: 0, Message: "Refund, please", Tools: map[string]string{"issue_refund": "done"}},
		Conversation: Conversation{VisitorID: "v-1", Bot: "support", Status: "open", Turns: 1, Tools: map[string]string{"issue_refund": "done"}},
		Prompt: Prompt{ID: "p1", Bot: "support", Content: "Refund, please", Headers: map[string]string{"X-Team": "eu"},
			Data: map[string]any{"order_id": "A-1042", "amount": 1000000.0, "items": []any{map[string]any{"sku": "s1", "n": 2.0}}}},
	}}
}

func decide(t testing.TB, s *Set, o *Occasion) []Decision {
	t.Helper()
	return s.Match(context.Background(), o, nil)
}

// results writes decisions as "rule=result …".
func results(ds []Decision) string {
	all := make([]string, len(ds))
	for i, d := range ds {
		all[i] = d.Rule + "=" + string(d.Result)
	}
	return strings.Join(all, " ")
}
