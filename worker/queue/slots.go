package queue

import (
	"context"
	"sync"
)

// Slots bounds how many prompts a worker holds. Whoever wants a prompt takes a slot first, so a worker never holds a
// prompt that it can't start. A slot whose holder still waits for a prompt can be asked back, so no idle bot keeps from a
// busy one what it doesn't use.
//
// An eighth of the slots is kept for the bots in equal parts: a bot that never answers may hold all others for as long as
// its turns last, and must hold up no other bot. Where that makes less than one slot a bot, nothing is kept.
type Slots struct {
	mu      sync.Mutex
	n       int
	total   int            // slots held, idle or in use
	held    map[string]int // bot -> slots held
	share   int            // kept for each bot of held
	kept    int            // of the shares, what their bots don't hold
	waiting []*claimant
	idle    map[*Slot]struct{} // held, and not in use yet
}

type claimant struct {
	bot string
	got chan *Slot
}

// NewSlots returns n free slots, none of them kept.
func NewSlots(n int) *Slots {
	return &Slots{n: n, held: map[string]int{}, idle: map[*Slot]struct{}{}}
}

// keptPart is the part of the slots that is kept for bots: one of so many.
const keptPart = 8

// Keep keeps an eighth of the slots for these bots. What is held now stays.
func (s *Slots) Keep(bots []Bot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.held
	s.held, s.share, s.kept = map[string]int{}, 0, 0
	for bot, n := range held {
		if n > 0 {
			s.held[bot] = n
		}
	}
	for _, b := range bots {
		s.held[b.Name] += 0
	}
	if len(bots) > 1 {
		s.share = s.n / keptPart / len(bots)
	}
	for _, n := range s.held {
		s.kept += max(0, s.share-n)
	}
	s.serve()
}

// Slot is the right to hold one prompt.
type Slot struct {
	of     *Slots
	bot    string
	wanted bool
	giveUp func() // called once when somebody wants the slot and it isn't in use
}

// fits says whether bot may have one more when so many are held in all, and what is kept for others stays free.
func (s *Slots) fits(bot string, total, kept int) bool {
	return total+1 <= s.n-(kept-max(0, s.share-s.held[bot]))
}

// count notes that bot holds one slot more, or one less.
func (s *Slots) count(bot string, by int) {
	s.kept -= max(0, s.share-s.held[bot])
	s.held[bot] += by
	s.total += by
	s.kept += max(0, s.share-s.held[bot])
}

// Acquire waits for a slot, first come first served among those who may have one. While none is free, one that is idle is
// asked back.
func (s *Slots) Acquire(ctx context.Context, bot string) (*Slot, error) {
	s.mu.Lock()
	c := &claimant{bot, make(chan *Slot, 1)}
	s.waiting = append(s.waiting, c)
	s.serve()
	ask := s.askOne()
	s.mu.Unlock()
	ask()
	select {
	case slot := <-c.got:
		return slot, nil
	case <-ctx.Done():
		s.forget(c)
		return nil, context.Cause(ctx)
	}
}

// serve gives what is free to those who wait, in their order. The caller holds mu.
func (s *Slots) serve() {
	left := s.waiting[:0]
	for _, c := range s.waiting {
		if !s.fits(c.bot, s.total, s.kept) {
			left = append(left, c)
			continue
		}
		s.count(c.bot, 1)
		slot := &Slot{of: s, bot: c.bot}
		s.idle[slot] = struct{}{}
		c.got <- slot
	}
	clear(s.waiting[len(left):])
	s.waiting = left
}

// askOne marks an idle slot that would help somebody as wanted, and returns what tells its holder. The caller holds mu.
func (s *Slots) askOne() func() {
	for slot := range s.idle {
		if !slot.wanted && s.helps(slot) {
			slot.wanted = true
			if slot.giveUp != nil {
				return slot.giveUp
			}
			break
		}
	}
	return func() {}
}

// helps says whether somebody who waits could have a slot if this one were given back. The caller holds mu.
func (s *Slots) helps(slot *Slot) bool {
	kept := s.kept
	if s.held[slot.bot] <= s.share {
		kept++ // it would be kept for its bot again
	}
	for _, c := range s.waiting {
		if c.bot != slot.bot && s.fits(c.bot, s.total-1, kept) || c.bot == slot.bot {
			return true
		}
	}
	return false
}

// forget gives up waiting; a slot that came meanwhile is passed on.
func (s *Slots) forget(c *claimant) {
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == c {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	(<-c.got).Release()
}

// Wait registers what to call when the slot is wanted by somebody else while it isn't in use. It returns false if it is
// wanted already: then its holder may look whether there is a prompt, but not wait for one.
func (s *Slot) Wait(giveUp func()) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.wanted || s.of.helps(s) {
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

// Release gives the slot to whoever has waited longest and may have it, or back.
func (s *Slot) Release() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.idle, s)
	s.of.count(s.bot, -1)
	s.of.serve()
}
