package dgbotsim

import (
	_ "embed"
	"sync"
)

//go:embed default.yaml
var defaultYAML []byte

// DefaultYAML returns the text of Default, commented: an example of every step.
func DefaultYAML() []byte { return append([]byte(nil), defaultYAML...) }

var parseDefault = sync.OnceValue(func() Script {
	s, err := ParseScript(defaultYAML)
	if err != nil {
		panic("dgbotsim: default.yaml: " + err.Error()) // a test reads it first
	}
	return s
})

// Default returns a believable back office: orders and lateness (lookup_order), refunds (lookup_order, issue_refund; it
// asks "Which order…" if the message names none, and takes the number from the next), stock (check_stock fails), shipping
// times, and a person (handoff_offered; agent_joined after 1.5 s). Each answer but the person's is through in about half
// a second at speed 1. Messages such as "#drop" ask for trouble: see DefaultYAML.
func Default() Script { return parseDefault() }
