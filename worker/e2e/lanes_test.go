package e2e

import (
	"fmt"
	"strings"
	"testing"

	"dgworker/worker"
)

const laneRules = `
bots:
  support: {key: k, url: "%s", settle: 30ms}
`

// Two lanes, two workers, one of which is killed in the middle: each lane keeps its order of arrival, and prompts beside
// them are not held up.
func TestLanesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `
replies:
  - match: wait
    times: 1
    steps: [{silence: }]
  - steps: [{stream: Done.}]
`, laneRules)
	first := s.worker("first")
	const n = 12
	s.send("dgbot.prompts.support.a", say("a-00", "wait (a-00)")) // the bot answers it the second time only
	for i := 1; i < n; i++ {
		s.send("dgbot.prompts.support.a", say(fmt.Sprintf("a-%02d", i), fmt.Sprintf("go on (a-%02d)", i)))
		s.send("dgbot.prompts.support.b", say(fmt.Sprintf("b-%02d", i), fmt.Sprintf("go on (b-%02d)", i)))
	}
	s.send("dgbot.prompts.support", say("beside", "Hello"))
	s.ended("beside", worker.Completed)
	s.ended(fmt.Sprintf("b-%02d", n-1), worker.Completed)
	if got := s.stored("DGBOT_OUTCOMES"); got != n {
		t.Errorf("%d outcomes, want %d: those of the other lane, and the one beside", got, n)
	}
	s.worker("second")
	first.kill()
	s.ended(fmt.Sprintf("a-%02d", n-1), worker.Completed)
	s.settled()
	for _, lane := range []string{"a", "b"} {
		last := ""
		for _, m := range s.messages() {
			if id, ok := strings.CutPrefix(m, lane+": "); ok {
				id = id[strings.IndexByte(id, '('):]
				if id < last {
					t.Errorf("lane %s: %s came after %s", lane, id, last)
				}
				last = id
			}
		}
		if most := s.sim.MaxOpen("k", lane); most > 1 {
			t.Errorf("visitor %s was there %d times at once", lane, most)
		}
	}
	if got, want := s.stored("DGBOT_OUTCOMES"), uint64(2*n); got != want {
		t.Errorf("%d outcomes, want %d", got, want)
	}
}

// A prompt on lane L that names visitor V waits its turn in both: behind what came first in L, and behind what V is at.
// L goes on when it is done.
func TestLaneThatNamesAnotherVisitor(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `
replies:
  - match: slow
    steps: [{wait: 1s}, {stream: Done.}]
  - steps: [{stream: Done.}]
`, laneRules)
	s.worker("w")
	naming := func(id, text, visitor string) string {
		return fmt.Sprintf(`{"id":%q,"content":%q,"visitor_id":%q}`, id, text, visitor)
	}
	s.send("dgbot.prompts.support", naming("v1", "slow v1", "V"))
	s.said(1, patience)
	s.send("dgbot.prompts.support.L", say("l1", "slow l1"))
	s.send("dgbot.prompts.support.L", naming("l2", "slow l2 as V", "V"))
	s.send("dgbot.prompts.support.L", say("l3", "l3"))
	s.said(2, patience)
	s.send("dgbot.prompts.support", naming("v2", "v2", "V"))
	for _, id := range []string{"v1", "l1", "l2", "l3", "v2"} {
		s.ended(id, worker.Completed)
	}
	s.settled()
	for _, visitor := range []string{"V", "L"} {
		if most := s.sim.MaxOpen("k", visitor); most != 1 {
			t.Errorf("visitor %s was there %d times at once", visitor, most)
		}
	}
	var lane []string
	for _, m := range s.messages() {
		if _, said, _ := strings.Cut(m, ": "); strings.Contains(said, "l") && !strings.HasSuffix(said, "v1") {
			lane = append(lane, m)
		}
	}
	same(t, lane, []string{"L: slow l1", "V: slow l2 as V", "L: l3"})
	if n := s.stored("DGBOT_OUTCOMES"); n != 5 {
		t.Errorf("%d outcomes, want 5", n)
	}
}
