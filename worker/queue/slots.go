package queue

import (
	"context"
	"sync"
)

// Slots bounds how many prompts a worker holds. Whoever wants a prompt takes a slot first, so a worker never holds a
// prompt that it can't start. A slot whose holder still waits for a prompt can be asked back, so no idle bot keeps from a
// busy one what it doesn't use.
type Slots struct {
	mu      sync.Mutex
	free    int
	waiting []chan *Slot
	idle    map[*Slot]struct{} // held, and not in use yet
}

// NewSlots returns n free slots.
func NewSlots(n int) *Slots { return &Slots{free: n, idle: map[*Slot]struct{}{}} }

// Slot is the right to hold one prompt.
type Slot struct {
	of     *Slots
	wanted bool
	giveUp func() // called once when somebody wants the slot and it isn't in use
}

// Acquire waits for a slot, first come first served. While none is free, one that is idle is asked back.
func (s *Slots) Acquire(ctx context.Context) (*Slot, error) {
	s.mu.Lock()
	if s.free > 0 && len(s.waiting) == 0 {
		s.free--
		slot := s.issue()
		s.mu.Unlock()
		return slot, nil
	}
	got := make(chan *Slot, 1)
	s.waiting = append(s.waiting, got)
	ask := s.askOne()
	s.mu.Unlock()
	ask()
	select {
	case slot := <-got:
		return slot, nil
	case <-ctx.Done():
		s.forget(got)
		return nil, context.Cause(ctx)
	}
}

// issue makes a slot that is idle. The caller holds mu.
func (s *Slots) issue() *Slot {
	slot := &Slot{of: s}
	s.idle[slot] = struct{}{}
	return slot
}

// askOne marks an idle slot as wanted and returns what tells its holder. The caller holds mu.
func (s *Slots) askOne() func() {
	for slot := range s.idle {
		if !slot.wanted {
			slot.wanted = true
			if slot.giveUp != nil {
				return slot.giveUp
			}
			break
		}
	}
	return func() {}
}

// forget gives up waiting; a slot that came meanwhile is passed on.
func (s *Slots) forget(got chan *Slot) {
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == got {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	(<-got).Release()
}

// Wait registers what to call when the slot is wanted by somebody else while it isn't in use. It returns false if it is
// wanted already: then its holder may look whether there is a prompt, but not wait for one.
func (s *Slot) Wait(giveUp func()) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.wanted || len(s.of.waiting) > 0 {
		return false
	}
	s.giveUp = giveUp
	return true
}

// Use notes that the slot holds a prompt now: it can't be asked back any more.
func (s *Slot) Use() {
	s.of.mu.Lock()
	delete(s.of.idle, s)
	// Whoever had this slot in view is told to look at another.
	ask := func() {}
	if s.wanted && len(s.of.waiting) > 0 {
		ask = s.of.askOne()
	}
	s.of.mu.Unlock()
	ask()
}

// Release gives the slot to whoever has waited longest, or back.
func (s *Slot) Release() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.idle, s)
	if len(s.of.waiting) == 0 {
		s.of.free++
		return
	}
	next := s.of.waiting[0]
	s.of.waiting = s.of.waiting[1:]
	next <- s.of.issue()
}
