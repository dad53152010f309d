package webhook

import (
	"strconv"
	"time"
)

// Sign signs as an attempt does.
func Sign(secrets []string, id, timestamp string, body []byte) (string, error) {
	s, err := newSigner(secrets)
	return s.sign(id, timestamp, body), err
}

// Stamp writes a time as webhook-timestamp does.
func Stamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// RetryAfter reads a Retry-After header.
var RetryAfter = retryAfter
