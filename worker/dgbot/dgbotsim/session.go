package dgbotsim

import (
	"maps"
	"slices"
	"time"
)

type sessionID struct{ key, visitor string }

// session is a visitor over all connections. Its fields are of Server.mu.
type session struct {
	id       sessionID
	attempts int             // handshakes so far, refused ones too
	conns    map[int64]*conn // nil: its handshake is being answered
	maxOpen  int
	greeted  bool
	messages int
	last     string // the Name of the reply played last

	queue     []job
	answering bool      // a goroutine plays the queue
	attached  broadcast // a connection came
	detached  broadcast // a connection went
}

// job is a message to answer, or the greeting.
type job struct {
	from    *conn
	content string
	n       int // the session's messages before this one
	greet   bool
}

// session returns the session of id, making it if need be. The caller holds mu.
func (s *Server) session(id sessionID) *session {
	ss := s.sessions[id]
	if ss == nil {
		ss = &session{id: id, conns: make(map[int64]*conn)}
		s.sessions[id] = ss
	}
	return ss
}

// attempt counts a handshake and returns how many there were before.
func (s *Server) attempt(id sessionID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.session(id)
	ss.attempts++
	return ss.attempts - 1
}

// reserve returns the id of a connection whose handshake is about to be answered. It gives earlier connections of the
// visitor the grace time to end: a client that closed one and at once opens the next has done nothing wrong, but the
// server may not have noticed yet. From here on the new one counts as open, or the next would overtake it.
func (s *Server) reserve(visitor sessionID) int64 {
	timer := time.NewTimer(s.grace)
	defer timer.Stop()
	for waiting := true; ; {
		s.mu.Lock()
		ss := s.session(visitor)
		if len(ss.conns) == 0 || !waiting {
			defer s.mu.Unlock()
			id := s.ids.Add(1)
			ss.conns[id] = nil
			return id
		}
		detached := ss.detached.wait()
		s.mu.Unlock()
		select {
		case <-detached:
		case <-timer.C:
			waiting = false
		case <-s.ctx.Done():
			waiting = false
		}
	}
}

// release takes back what reserve gave, for a handshake that failed.
func (s *Server) release(visitor sessionID, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.session(visitor)
	delete(ss.conns, id)
	ss.detached.send()
	s.stats.Refused++
	s.changed.send()
}

func (s *Server) attach(id sessionID, c *conn) *session {
	s.mu.Lock()
	ss := s.session(id)
	for _, older := range slices.Sorted(maps.Keys(ss.conns)) {
		if older >= c.id {
			break
		}
		s.overlaps = append(s.overlaps, Overlap{
			Key: id.key, Visitor: id.visitor, Older: older, Newer: c.id, At: time.Now(),
		})
	}
	ss.conns[c.id] = c
	ss.maxOpen = max(ss.maxOpen, len(ss.conns))
	s.conns[c] = struct{}{}
	s.stats.Connections++
	s.stats.Open++
	open, closed := s.stats.Open, s.closed
	if !ss.greeted && len(s.script.Greeting) > 0 {
		s.enqueue(ss, job{from: c, greet: true})
	}
	ss.greeted = true
	ss.attached.send()
	s.changed.send()
	s.mu.Unlock()
	if closed { // Close has not seen this one
		c.drop(false)
	}
	s.onOpen(id.key, id.visitor, open)
	return ss
}

func (s *Server) detach(ss *session, c *conn) {
	c.drop(false)
	s.mu.Lock()
	delete(ss.conns, c.id)
	delete(s.conns, c)
	s.stats.Open--
	open := s.stats.Open
	ss.detached.send()
	s.changed.send()
	s.mu.Unlock()
	s.onClose(ss.id.key, ss.id.visitor, open)
}

// message remembers a message and has it answered.
func (s *Server) message(ss *session, c *conn, content string) {
	m := Message{Key: ss.id.key, Visitor: ss.id.visitor, Content: content, At: time.Now(), ConnID: c.id}
	s.onMessage(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) >= 2*s.history { // moved seldom, so that remembering costs little
		s.received = slices.Clone(s.received[len(s.received)-s.history:])
	}
	s.received = append(s.received, m)
	for i, o := range s.overlaps {
		if o.Older == c.id {
			s.overlaps[i].Active = true
		}
	}
	s.stats.Messages++
	s.enqueue(ss, job{from: c, content: content, n: ss.messages})
	ss.messages++
	s.changed.send()
}

// enqueue adds a job and starts the goroutine that plays the queue, if none does: visitors who wait for nothing cost
// none. The caller holds mu.
func (s *Server) enqueue(ss *session, j job) {
	ss.queue = append(ss.queue, j)
	if !ss.answering && !s.closed {
		ss.answering = true
		s.work.Go(func() { s.answer(ss) })
	}
}
