package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"dgworker/rules"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// Two workers, a thousand events of one key at once: the rule fires once. The claim outlives workers, and reloads: it is
// the rule's name that counts.
func TestCooldownIsShared(t *testing.T) {
	t.Parallel()
	const text = `
bots:
  support: {key: k, url: "%s", settle: 20ms}
rules:
  - {name: offered, on: handoff_offered, cooldown: {for: 10m, key: prompt.data.shop}, actions: [{publish: office.offered}]}
`
	w := newWorld(t, `replies: [{steps: [{handoff: A colleague can take over.}]}]`, text)
	one, two := w.worker("one"), w.worker("two")
	const prompts = 1000
	for i := range prompts {
		if _, err := w.js.PublishAsync("dgbot.prompts.support", fmt.Appendf(nil, `{"id":"p%d","content":"A person, please","data":{"shop":"a"}}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, "all have their outcomes", func() bool { return w.stored("DGBOT_OUTCOMES") == prompts })
	if fired, suppressed := w.decided(t); fired != 1 || suppressed != prompts-1 {
		t.Errorf("fired %d times, suppressed %d, want once of %d", fired, suppressed, prompts)
	}
	for _, p := range []*process{one, two} {
		p.kill()
	}
	writeFile(t, w.rules, readFile(t, w.rules)+"  - {name: other, on: final_response, actions: [{publish: office.other}]}\n")
	third := w.worker("three")
	third.signal(syscall.SIGHUP)
	w.send("dgbot.prompts.support", `{"id":"again","content":"A person, please","data":{"shop":"a"}}`)
	w.send("dgbot.prompts.support", `{"id":"elsewhere","content":"A person, please","data":{"shop":"b"}}`)
	if o := w.ended("again", worker.Handoff); len(o.Fired) != 0 || len(o.Suppressed) != 1 || o.Suppressed[0].Why != rules.Cooldown {
		t.Errorf("after a restart: fired %v, suppressed %v", o.Fired, o.Suppressed)
	}
	if o := w.ended("elsewhere", worker.Handoff); len(o.Fired) != 1 {
		t.Errorf("another key: fired %v", o.Fired)
	}
}

// decided counts what all outcomes say fired, and was suppressed.
func (w *world) decided(t *testing.T) (fired, suppressed int) {
	t.Helper()
	a, err := queue.OpenArchive(t.Context(), w.js, "dgbot")
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range a.Outcomes(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		fired, suppressed = fired+len(o.Fired), suppressed+len(o.Suppressed)
	}
	return fired, suppressed
}
