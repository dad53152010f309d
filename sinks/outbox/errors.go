package outbox

import "errors"

// The states that callers act upon.
var (
	// ErrNotFound says that there is no such action, dead letter or disabled endpoint.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge says that an action is bigger than NATS takes: max_payload less Config.Reserve. Trying again won't help.
	ErrTooLarge = errors.New("action is too large for NATS's max_payload")
	// ErrStopped says that the outbox was stopped.
	ErrStopped = errors.New("outbox is stopped")
)

// errStale says that somebody else has moved the action on: what the caller holds is no longer its state.
var errStale = errors.New("action was moved on by another worker")
