package queue

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// nudges are the waits after which Next asks again.
var nudges = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}

// Next is iter.Next, asked several times. nats.go (v1.55.0) has a race: a Next that follows the message of a pull whose
// sending goroutine hasn't yet noted that it was sent doesn't pull at all, and waits for the missing heartbeat, 30 s, while
// prompts lie there. Asking again looks again; where a pull is under way, it costs nothing.
func Next(iter jetstream.MessagesContext) (jetstream.Msg, error) {
	for _, wait := range nudges {
		msg, err := iter.Next(jetstream.NextMaxWait(wait))
		if !errors.Is(err, nats.ErrTimeout) {
			return msg, err
		}
	}
	return iter.Next()
}
