package outbox

import (
	"regexp"
	"strings"
)

var (
	prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	notInNames    = regexp.MustCompile(`[^A-Z0-9]`)
)

// names derives every subject and stream name from the prefix, so that no other file spells one.
type names struct{ prefix string }

// stream of what: stream names can hold no dots, and the convention is upper case.
func (n names) stream(what string) string {
	return notInNames.ReplaceAllString(strings.ToUpper(n.prefix), "_") + "_" + what
}

func (n names) actionsStream() string   { return n.stream("ACTIONS") }
func (n names) deadStream() string      { return n.stream("DEAD") }
func (n names) endpointsBucket() string { return n.stream("ENDPOINTS") }

// action is the subject of an action in a state. "*" stands for any endpoint, action or state.
func (n names) action(endpoint, id string, state State) string {
	return n.prefix + ".actions." + endpoint + "." + id + "." + string(state)
}

// dead is the subject of an action's dead letter.
func (n names) dead(endpoint, id string) string {
	return n.prefix + ".dead.actions." + endpoint + "." + id
}

// parse reads endpoint and action from a subject of either kind.
func (n names) parse(subject string) (endpoint, id string) {
	rest := strings.TrimPrefix(strings.TrimPrefix(subject, n.prefix+".dead.actions."), n.prefix+".actions.")
	endpoint, rest, _ = strings.Cut(rest, ".")
	id, _, _ = strings.Cut(rest, ".")
	return endpoint, id
}
