package publish

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says where to publish. Conn is required; a zero in any other field means its default.
type Config struct {
	Conn      *nats.Conn          // owned by the caller; must outlive the sink
	JetStream jetstream.JetStream // on Conn; its domain or prefix is where streams are looked up. Defaults to jetstream.New(Conn)

	Timeout         time.Duration // of one attempt, look-up included. Defaults to 5s
	StreamTTL       time.Duration // how long a look-up of a subject's stream is remembered. Defaults to 10s
	StreamCache     int           // subjects remembered. Defaults to 4096
	LimitedAttempts int           // Verdict.MaxAttempts after a refusal that will probably stand. Defaults to 3

	Source      string // ce-source is this, and "/bots/<bot>". Defaults to "/dgworker"
	TypePrefix  string // ce-type is this and the event's type. Defaults to "dgworker."
	ContentType string // unless the delivery brings its own. Defaults to "application/json"
}

func (c Config) complete() (Config, error) {
	if c.Conn == nil {
		return c, errors.New("configure publish: there is no NATS connection")
	}
	if c.JetStream == nil {
		js, err := jetstream.New(c.Conn)
		if err != nil {
			return c, fmt.Errorf("configure publish: %w", err)
		}
		c.JetStream = js
	}
	fill(&c.Timeout, 5*time.Second)
	fill(&c.StreamTTL, 10*time.Second)
	fill(&c.StreamCache, 4096)
	fill(&c.LimitedAttempts, 3)
	fill(&c.Source, "/dgworker")
	fill(&c.TypePrefix, "dgworker.")
	fill(&c.ContentType, "application/json")
	if c.Timeout < 0 || c.StreamTTL < 0 || c.StreamCache < 0 || c.LimitedAttempts < 0 {
		return c, errors.New("configure publish: a limit is negative; leave it out for its default")
	}
	return c, nil
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
