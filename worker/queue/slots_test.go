package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func acquire(t *testing.T, s *Slots) *Slot {
	t.Helper()
	slot, err := s.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

func TestSlotsAreFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		held := acquire(t, s)
		held.Use()
		var order []int
		for i := range 5 {
			go func() {
				slot := acquire(t, s)
				slot.Use()
				order = append(order, i)
				slot.Release()
			}()
			synctest.Wait()
		}
		held.Release()
		synctest.Wait()
		for i, got := range order {
			if got != i {
				t.Errorf("served in the order %v, want first come first served", order)
			}
		}
		if len(order) != 5 || s.total != 0 || len(s.idle) != 0 {
			t.Errorf("%d were served, %d held, %d idle", len(order), s.total, len(s.idle))
		}
	})
}

func TestNeverMoreThanNSlots(t *testing.T) {
	t.Parallel()
	s := NewSlots(3)
	var held, most atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 100 {
				slot, err := s.Acquire(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				if n := held.Add(1); n > most.Load() {
					most.Store(n)
				}
				if slot.Wait(func() {}) {
					slot.Use()
				}
				held.Add(-1)
				slot.Release()
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || s.total != 0 || len(s.waiting) != 0 || len(s.idle) != 0 {
		t.Errorf("%d at once, then %d held, %d waiting, %d idle", most.Load(), s.total, len(s.waiting), len(s.idle))
	}
}

// A slot whose holder waits for a prompt is asked back when somebody else wants one; one in use is not.
func TestIdleSlotsAreAskedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2)
		busy, idle := acquire(t, s), acquire(t, s)
		asked := 0
		if !busy.Wait(func() { t.Error("a slot in use was asked back") }) || !idle.Wait(func() { asked++; idle.Release() }) {
			t.Fatal("nobody wants them yet")
		}
		busy.Use()
		third := acquire(t, s)
		if asked != 1 {
			t.Errorf("the idle slot was asked back %d times", asked)
		}
		third.Release()
		busy.Release()
		if s.total != 0 {
			t.Errorf("%d held", s.total)
		}
	})
}

// A holder that has not begun to wait yet is told that it must not.
func TestAWantedSlotMayNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		first := acquire(t, s)
		got := make(chan *Slot)
		go func() { got <- acquire(t, s) }()
		synctest.Wait()
		if first.Wait(func() {}) {
			t.Error("a slot that is wanted may wait for a prompt")
		}
		first.Release()
		(<-got).Release()
	})
}

// One idle slot comes into use while it is asked back: another is asked instead.
func TestUseAsksTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2)
		slots := []*Slot{acquire(t, s), acquire(t, s)}
		var told []int
		for i, slot := range slots {
			slot.Wait(func() { told = append(told, i) })
		}
		got := make(chan *Slot)
		go func() { got <- acquire(t, s) }()
		synctest.Wait()
		if len(told) != 1 {
			t.Fatalf("asked %v, want one", told)
		}
		slots[told[0]].Use() // a prompt came in that moment
		if len(told) != 2 || told[0] == told[1] {
			t.Fatalf("asked %v, want the other too", told)
		}
		slots[told[1]].Release()
		(<-got).Release()
		slots[told[0]].Release()
	})
}

func TestWhoeverStopsWaitingLosesNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1)
		held := acquire(t, s)
		held.Use()
		why := errors.New("stopping")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() {
			_, err := s.Acquire(ctx, "a")
			failed <- err
		}()
		synctest.Wait()
		cancel(why)
		if err := <-failed; !errors.Is(err, why) {
			t.Errorf("acquire ended with %v", err)
		}
		held.Release()
		if s.total != 0 {
			t.Errorf("%d held: the slot went to somebody who had left", s.total)
		}
		// … also when both happen at once.
		for range 100 {
			held := acquire(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if slot, err := s.Acquire(ctx, "a"); err == nil {
					slot.Release()
				}
			}()
			synctest.Wait()
			go cancel()
			held.Release()
			<-done
			cancel()
		}
		synctest.Wait()
		if s.total != 0 || len(s.waiting) != 0 {
			t.Errorf("%d held, %d waiting", s.total, len(s.waiting))
		}
	})
}

// A bot that holds all it can get leaves to each other bot its share, and nobody gives up what is kept for them.
func TestEveryBotHasItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(32) // four are kept, two for each
		s.Keep([]Bot{{Name: "a"}, {Name: "b"}})
		idle, err := s.Acquire(t.Context(), "b")
		if err != nil || !idle.Wait(func() { t.Error("what is kept for b was asked back") }) {
			t.Fatal("b can't wait for its first prompt", err)
		}
		var got atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				slot, err := s.Acquire(ctx, "a")
				if err != nil {
					return
				}
				slot.Use()
				got.Add(1)
				<-ctx.Done()
				slot.Release()
			})
		}
		synctest.Wait()
		if got.Load() != 30 {
			t.Errorf("a holds %d of 32, want all but the share of b", got.Load())
		}
		idle.Use()
		second, err := s.Acquire(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		second.Release()
		s.Keep([]Bot{{Name: "a"}}) // b is gone: nothing is kept any more
		synctest.Wait()
		if got.Load() != 31 {
			t.Errorf("a holds %d, want 31 beside the one that b still has", got.Load())
		}
		idle.Release()
		cancel()
		wg.Wait()
		if s.total != 0 || s.kept != 0 {
			t.Errorf("%d held and %d kept at the end", s.total, s.kept)
		}
	})
}

// With few slots nothing is kept: no idle bot keeps one from a busy one.
func TestFewSlotsAreNotKept(t *testing.T) {
	t.Parallel()
	s := NewSlots(8)
	s.Keep([]Bot{{Name: "a"}, {Name: "b"}})
	for range 8 {
		acquire(t, s).Use()
	}
}
