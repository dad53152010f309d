package rules

import (
	"reflect"
	"testing"
)

// TestExpressionsHold runs expressions of every kind, all of which are true for toolDone.
func TestExpressionsHold(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`event.type == "tool_action_result"`,
		`event.type in ["tool_action_result"]`,
		`event.type matches "^tool"`,
		`event.type contains "tool"`,
		`event.type + "x" == "tool_action_resultx"`,
		`upper(event.type) == "TOOL_ACTION_RESULT"`,
		`now() == event.at`,
		`event.at.Year() == 2026`,
		`number("12") == 12`,
		`extract_json("a {\"b\": 1}").b == 1`,
		`capture("order 12", "[0-9]+") == "12"`,
		`any(prompt.data.items, .sku == "s1")`,
		`any(prompt.data.items, any(1..3, # == 2))`,
		`len(uniq([1,1,2])) == 2`,
		`count(prompt.data.items, .n > 1 && response.text contains "refund") == 1`,
		`reduce(1..10, #acc + #) == 55`,
		`map(prompt.data.items, .sku + "x")[0] == "s1x"`,
		`date("2026-01-01") < now()`,
		`join(map(prompt.data.items, .sku), ",") == "s1"`,
		`let x = response.text; x startsWith "Your"`,
		`prompt.data?.nope?.x == nil`,
		`prompt.data.order_id matches prompt.data.order_id`,
		`turn.tools.issue_refund == "done"`,
		`len(sortBy(prompt.data.items, .n)) == 1`,
		`filter(prompt.data.items, .n > 1) | map(.sku) | first() == "s1"`,
		`event.type == "tool_action_result" ? true : false`,
		`now() - event.at == duration("0s")`,
		`string(prompt.data.amount) != ""`,
		`prompt.data.amount == 1000000`,
		`"issue_refund" in turn.tools`,
		`get(prompt.data, "order_id") == "A-1042"`,
		`toJSON(event) != ""`,
	} {
		x, f := compile(source, []EventType{ToolActionResult}, reflect.Bool)
		if f != nil {
			t.Errorf("%s: %+v", source, f)
			continue
		}
		e := begin(&toolDone().Facts)
		if ok, err := e.holds(x); !ok || err != nil {
			t.Errorf("%s: %v, %v", source, ok, err)
		}
		e.end()
	}
}
