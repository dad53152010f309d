package main

import (
	"slices"

	"dgworker/worker"
)

// scene is one prompt of the demo with what is expected of it, and what happened.
type scene struct {
	id, about, prompt string
	status            worker.Status
	turns             int
	rules             []string // that fire, in any order
	shadow            []string

	outcome   *worker.Outcome
	delivered map[string]bool // ids of actions that arrived
}

// demoScenes is one prompt of every kind: tool done, tool error, handoff, follow-up reply, plain question, failure.
func demoScenes() []*scene {
	scenes := []*scene{
		{
			id: "refund", about: "a tool succeeds", turns: 1, status: worker.Completed, rules: []string{"refund-issued", "refund-confirmed"},
			prompt: `{"id":"refund","content":"I want a refund for order 1001, it arrived broken.","data":{"order_id":1001}}`,
		},
		{
			id: "stock", about: "a tool fails", turns: 1, status: worker.Completed, rules: []string{"tool-failed"},
			prompt: `{"id":"stock","content":"Is the blue kettle in stock?"}`,
		},
		{
			id: "person", about: "a person is offered", turns: 1, status: worker.Handoff, rules: []string{"human-needed"},
			prompt: `{"id":"person","content":"May I talk to a person, please?","visitor_id":"visitor-7"}`,
		},
		{
			id: "which-order", about: "a rule answers the bot", turns: 2, status: worker.Completed,
			rules:  []string{"ask-again", "refund-issued", "refund-confirmed"},
			prompt: `{"id":"which-order","content":"I want my money back.","data":{"order_id":1002}}`,
		},
		{
			id: "shipping", about: "a plain question", turns: 1, status: worker.Completed,
			prompt: `What are your shipping times?`,
		},
		{
			id: "refused", about: "the bot refuses", status: worker.Failed, shadow: []string{"went-wrong"},
			prompt: `{"id":"refused","content":"Hello?","visitor_id":"refused-1"}`,
		},
	}
	for _, s := range scenes {
		s.delivered = map[string]bool{}
	}
	return scenes
}

// passed says whether everything that was expected of the scene happened, and nothing else.
func (s *scene) passed() bool {
	o := s.outcome
	return o != nil && o.Status == s.status && len(o.Turns) == s.turns && len(o.Errors) == 0 &&
		sameNames(firedRules(o.Fired), s.rules) && sameNames(firedRules(o.Shadow), s.shadow) && s.arrived()
}

// arrived says whether every action that leaves through the outbox has reached its receiver.
func (s *scene) arrived() bool {
	return s.outcome != nil && len(s.delivered) == len(outgoing(s.outcome))
}

// outgoing are the fired actions that leave through the outbox: replies don't.
func outgoing(o *worker.Outcome) []worker.Fired {
	return slices.DeleteFunc(slices.Clone(o.Fired), func(f worker.Fired) bool { return f.Action == "reply" })
}

func firedRules(fired []worker.Fired) []string {
	names := make([]string, 0, len(fired))
	for _, f := range fired {
		names = append(names, f.Rule)
	}
	return names
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
