package dgbotsim

import (
	"math"
	"net/http"
	"slices"
	"time"
)

// Option changes a Server.
type Option func(*Server)

// Instant is a speed at which nothing waits.
var Instant = math.Inf(1)

// WithSpeed divides all delays and waits of the script by factor, in place of the script's own speed. A factor that is
// not above zero changes nothing.
func WithSpeed(factor float64) Option {
	return func(s *Server) {
		if factor > 0 {
			s.script.Speed = factor
		}
	}
}

// WithKeys names the keys that there are; any other is refused. Defaults to any key at all.
func WithKeys(keys ...string) Option {
	return func(s *Server) { s.keys = slices.Clone(keys) }
}

// WithUnknownKeyStatus sets the status that answers a key which is none of WithKeys. Defaults to 401.
func WithUnknownKeyStatus(status int) Option { return func(s *Server) { s.unknownKey = status } }

// WithFaults makes connections fail at random.
func WithFaults(f Faults) Option { return func(s *Server) { s.faults = f } }

// WithIdleTimeout closes a connection (code 1001) from which neither message nor ping came for d, as the protocol
// document has one expect. Not divided by the speed. Defaults to never.
func WithIdleTimeout(d time.Duration) Option { return func(s *Server) { s.idle = d } }

// WithHistory sets how many messages Received remembers at least; the oldest are forgotten. Defaults to 100,000.
func WithHistory(n int) Option { return func(s *Server) { s.history = max(n, 1) } }

// WithOverlapGrace sets how long a connection waits for an earlier one of the same visitor to be seen as closed before
// the two count as an overlap: the end of a socket takes its time to reach the server's reader. Defaults to 100 ms.
func WithOverlapGrace(d time.Duration) Option { return func(s *Server) { s.grace = d } }

// OnMessage calls f with each message as it is received, before it is answered, from the goroutine that reads it.
func OnMessage(f func(Message)) Option { return func(s *Server) { s.onMessage = f } }

// OnOpen calls f after each handshake, OnClose after each connection's end; n is how many are open then.
func OnOpen(f func(key, visitor string, n int)) Option { return func(s *Server) { s.onOpen = f } }

// OnClose is OnOpen's counterpart.
func OnClose(f func(key, visitor string, n int)) Option { return func(s *Server) { s.onClose = f } }

func defaults(s *Server) {
	s.unknownKey = http.StatusUnauthorized
	s.history = 100_000
	s.grace = 100 * time.Millisecond
	s.onMessage = func(Message) {}
	s.onOpen = func(string, string, int) {}
	s.onClose = func(string, string, int) {}
}
