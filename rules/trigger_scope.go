package rules

import (
	"time"
)

// natsEvent is the type of the events that triggers see. No rule can name it, so an expression that is compiled for it
// belongs to a trigger.
const natsEvent EventType = "(an event on NATS)"

// forTriggers is the `on` of every expression of a trigger.
var forTriggers = []EventType{natsEvent}

// vocabulary is what an expression can name: the environment that it is compiled against, and its names with their
// fields.
type vocabulary struct {
	env   any
	known map[string][]string
}

var (
	ofRules    = vocabulary{scope{}, known}
	ofTriggers = vocabulary{triggerScope{}, map[string][]string{"event": {"subject", "at", "headers", "data", "ce"}}}
)

// seenBy returns what expressions for these event types can name.
func seenBy(on []EventType) vocabulary {
	if len(on) == 1 && on[0] == natsEvent {
		return ofTriggers
	}
	return ofRules
}

// triggerScope is what an expression of a trigger runs over.
type triggerScope struct {
	Event triggerFacts `expr:"event"`
	Meter *meter       `expr:"__meter"`
}

// triggerFacts is a TriggerEvent under the names that authors use.
type triggerFacts struct {
	Subject string            `expr:"subject" json:"subject"`
	At      time.Time         `expr:"at" json:"at"`
	Headers map[string]string `expr:"headers" json:"headers,omitempty"`
	Data    any               `expr:"data" json:"data,omitempty"`
	CE      map[string]string `expr:"ce" json:"ce,omitempty"`
}

func beginTrigger(ev TriggerEvent) evaluation {
	m := machines.Get().(*machine)
	return evaluation{machine: m, env: triggerScope{triggerFacts(ev), &m.meter}, at: ev.At, limits: usual}
}
