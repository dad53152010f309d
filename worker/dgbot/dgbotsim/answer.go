package dgbotsim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// answer plays a session's queue until it is empty.
func (s *Server) answer(ss *session) {
	for {
		j, acts, ok := s.next(ss)
		if !ok {
			return
		}
		if s.play(ss, j, acts) {
			s.count(func(st *Stats) { st.Answered++ })
		}
	}
}

// next takes a job off the queue and composes its answer.
func (s *Server) next(ss *session) (job, []act, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(ss.queue) == 0 || s.closed {
		ss.queue, ss.answering = nil, false
		return job{}, nil, false
	}
	j := ss.queue[0]
	ss.queue = ss.queue[1:]
	if j.greet {
		return j, s.script.composer(anything, "", s.newID).steps(s.script.Greeting), true
	}
	r := s.script.reply(ss.id.key, ss.id.visitor, j.content, ss.last)
	if r == nil {
		return j, nil, true
	}
	ss.last = r.Name
	acts := s.script.composer(r.match, j.content, s.newID).steps(r.Steps)
	draw := s.faults.draw("answer", ss.id.key, ss.id.visitor, j.n)
	return j, s.faults.cut(acts, draw, func() { s.count(func(st *Stats) { st.Dropped++ }) }), true
}

var anything = regexp.MustCompile("")

func (s *Server) newID() string { return fmt.Sprintf("msg_%06x", s.messages.Add(1)) }

// play does the acts one by one. It is false if the answer was not played to its end.
func (s *Server) play(ss *session, j job, acts []act) bool {
	to := j.from
	for i := 0; i < len(acts); {
		if acts[i].do == nil {
			i++
			continue
		}
		if to.gone.Err() != nil && !acts[i].stays {
			if to = s.reconnected(ss); to == nil {
				return false
			}
		}
		switch acts[i].do(s.ctx, to) {
		case nil:
			i++
		case errSilence:
			return false
		}
	}
	return s.ctx.Err() == nil
}

// reconnected returns the visitor's newest connection, waiting for one if the script resumes answers, else nil.
func (s *Server) reconnected(ss *session) *conn {
	if s.script.OnReconnect != Resume {
		return nil
	}
	timer := time.NewTimer(s.script.ResumeFor)
	defer timer.Stop()
	for {
		s.mu.Lock()
		newest, attached := ss.newest(), ss.attached.wait()
		s.mu.Unlock()
		if newest != nil {
			return newest
		}
		select {
		case <-attached:
		case <-timer.C:
			return nil
		case <-s.ctx.Done():
			return nil
		}
	}
}

// newest returns the connection opened last that is not gone. The caller holds Server.mu.
func (ss *session) newest() *conn {
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(ss.conns))) {
		if c := ss.conns[id]; c != nil && c.gone.Err() == nil {
			return c
		}
	}
	return nil
}
