package dgbotsim

import (
	"context"
	"fmt"
	"time"
)

// Message is a visitor's message as it was received.
type Message struct {
	Key, Visitor string
	Content      string
	At           time.Time
	ConnID       int64 // from 1, in the order of the connections
}

// Stats counts what a server has seen.
type Stats struct {
	Open        int // connections open now
	Connections int // handshakes that succeeded
	Refused     int // handshakes that were refused, for whatever reason
	Messages    int
	Pings       int // JSON pings
	BadFrames   int // no JSON object, binary, a message without a string as content
	Unknown     int // frames of types that the document doesn't have
	Dropped     int // connections cut by Faults
	Answered    int // replies played to their end
	Overlaps    int // see Server.Overlaps
}

// Overlap says that a visitor had a second connection while an earlier one was open.
type Overlap struct {
	Key, Visitor string
	Older, Newer int64 // connection ids
	At           time.Time
	Active       bool // the older one sent a message after the newer had opened: not merely forgotten
}

// Stats returns the counts so far. A client knows of its connection a moment before Stats does: use Await.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *Server) snapshot() Stats {
	st := s.stats
	st.Overlaps = len(s.overlaps)
	return st
}

// Received returns the messages received so far, oldest first, as many as WithHistory keeps.
func (s *Server) Received() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.received...)
}

// Overlaps returns every overlap so far.
func (s *Server) Overlaps() []Overlap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Overlap(nil), s.overlaps...)
}

// MaxOpen returns how many connections a visitor had open at once at most, 0 for one who never came.
func (s *Server) MaxOpen(key, visitor string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ss := s.sessions[sessionID{key, visitor}]; ss != nil {
		return ss.maxOpen
	}
	return 0
}

// Await returns nil as soon as cond holds for the server's counts, which it looks at after each change. Otherwise it
// returns ctx's cause with the counts as they are then. cond must not call the server.
func (s *Server) Await(ctx context.Context, cond func(Stats) bool) error {
	for {
		s.mu.Lock()
		st, changed := s.snapshot(), s.changed.wait()
		s.mu.Unlock()
		if cond(st) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await simulator: %w (%+v)", context.Cause(ctx), st)
		}
	}
}

// broadcast wakes all that wait for a change. It makes a channel only when somebody does. The zero value is ready.
type broadcast struct{ ch chan struct{} }

func (b *broadcast) wait() <-chan struct{} {
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// count changes the counts under the lock and wakes Await.
func (s *Server) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
	s.changed.send()
}
