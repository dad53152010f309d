package trigger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const tick = `- {name: tick, every: 1s, bot: support, content: "tick {{ event.data ?? 0 }}"}
`

// schedules are the schedules that stand, by trigger, as sequence and pattern.
func (w *world) schedules() map[string]string {
	w.Helper()
	all := map[string]string{}
	for _, msg := range w.stored("DGBOT_CRON", "dgbot.cron.schedules.*") {
		all[strings.TrimPrefix(msg.Subject, "dgbot.cron.schedules.")] = fmt.Sprint(msg.Sequence, " ", msg.Header.Get("Nats-Schedule"))
	}
	return all
}

func TestScheduleFiresOnceForAllWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.service(tick)
	w.service(tick)
	w.service(tick)
	seen := map[string]bool{}
	all := w.prompts(3)
	for i, p := range all {
		seen[p.ID] = true
		if p.said() != "tick 0" || p.header.Get("Dgworker-Event") != "dgbot.cron.due.tick" {
			t.Errorf("prompt is %+v", p)
		}
		if i > 0 {
			before, after := w.storedAt(all[i-1]), w.storedAt(p)
			if gap := after.Sub(before); gap < 500*time.Millisecond || gap > 1900*time.Millisecond {
				t.Errorf("%s between two runs of every: 1s", gap)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("ids are %v", seen)
	}
}

func (w *world) storedAt(p prompt) time.Time {
	w.Helper()
	for _, msg := range w.stored("DGBOT_PROMPTS", p.subject) {
		if msg.Header.Get("Nats-Msg-Id") == p.ID {
			return msg.Time
		}
	}
	w.Fatal("no such prompt")
	return time.Time{}
}

// Whatever rules accept as cron, NATS does too.
func TestNATSTakesEveryForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	forms := []string{"0 7 * * MON-FRI", "*/15 * * * *", "0 0 1,15 jan ?", "0 22-2 * * fri-mon", "5/20 9-17/4 * * 7", "0 0 29 2 *", "@hourly", "@weekly"}
	rules := ""
	for i, form := range forms {
		rules += fmt.Sprintf("- {name: c%d, cron: %q, timezone: America/New_York, bot: support, content: x}\n", i, form)
	}
	s := w.service(rules)
	if got := w.schedules(); len(got) != len(forms) {
		t.Errorf("schedules %v, logs %v", got, s.logs.All())
	}
	for _, msg := range w.stored("DGBOT_CRON", "dgbot.cron.schedules.*") {
		if msg.Header.Get("Nats-Schedule-Time-Zone") != "America/New_York" {
			t.Errorf("headers are %v", msg.Header)
		}
	}
}

// Every write of a schedule begins its interval anew, so it is only written when it changes.
func TestScheduleIsWrittenWhenItChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hourly := strings.Replace(tick, "1s", "1h", 1)
	a := w.service(hourly)
	first := w.schedules()["tick"]
	b := w.service(hourly)
	b.use(strings.Replace(hourly, "tick {{", "tock {{", 1))
	if got := w.schedules()["tick"]; got != first {
		t.Errorf("schedule is %s, was %s", got, first)
	}
	b.use(strings.Replace(tick, "1s", "2h", 1))
	if got := w.schedules()["tick"]; !strings.HasSuffix(got, "@every 2h0m0s") {
		t.Errorf("schedule is %s", got)
	}
	asked := a.Queue.Conn.Stats().OutMsgs
	w.eventually("the other worker has looked again", func() bool { return a.Queue.Conn.Stats().OutMsgs > asked+6 })
	if got := w.schedules(); !strings.HasSuffix(got["tick"], "@every 2h0m0s") || len(got) != 1 {
		t.Errorf("an older worker took the schedule back: %v", got)
	}
}

func TestScheduleGoesWithItsLastWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const none = `- {name: other, subject: other, bot: support, content: x}
`
	hourly := strings.Replace(tick, "1s", "1h", 1)
	a, b := w.service(hourly), w.service(hourly)
	a.use(none)
	if got := w.schedules(); len(got) != 1 {
		t.Errorf("schedules are %v while a worker still wants one", got)
	}
	b.use(none)
	if got := w.schedules(); len(got) != 0 {
		t.Errorf("schedules are %v, and nobody wants one", got)
	}
	b.use(hourly)
	b.use(`- {name: tick, subject: other, bot: support, content: x}
`)
	if got := w.schedules(); len(got) != 0 {
		t.Errorf("schedules are %v after the trigger got a subject", got)
	}
}

// A schedule whose last worker came back with other rules is removed after a while, and one that somebody waits for stays.
func TestOrphanedSchedules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	soon := func(c *Config) { c.Orphaned = 50 * time.Millisecond }
	gone := w.service(strings.Replace(tick, "name: tick, every: 1s", "name: gone, every: 1h", 1))
	gone.Stop(w.ctx)
	w.service(strings.Replace(tick, "1s", "1h", 1))
	w.service(`- {name: other, subject: other, bot: support, content: x}
`, soon)
	w.eventually("the orphan is gone", func() bool { return len(w.schedules()) == 1 })
	if got := w.schedules(); got["tick"] == "" {
		t.Errorf("schedules are %v", got)
	}
	if err := w.purge("dgbot.cron.schedules.tick"); err != nil {
		t.Fatal(err)
	}
	w.eventually("a schedule that somebody removed is put back", func() bool { return w.schedules()["tick"] != "" })
}

func (w *world) purge(subject string) error {
	stream, err := w.js.Stream(w.ctx, "DGBOT_CRON")
	if err != nil {
		return err
	}
	return stream.Purge(w.ctx, jetstream.WithPurgeSubject(subject))
}

// Runs that nobody could take become one.
func TestMissedRunsBecomeOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.service(tick).Stop(w.ctx)
	stream, err := w.js.Stream(w.ctx, "DGBOT_CRON")
	if err != nil {
		t.Fatal(err)
	}
	missed := map[uint64]bool{}
	w.eventually("three runs are missed", func() bool {
		info, err := stream.Info(w.ctx, jetstream.WithSubjectFilter("dgbot.cron.due.*"))
		if err != nil {
			t.Fatal(err)
		}
		if n := info.State.Subjects["dgbot.cron.due.tick"]; n > 1 {
			t.Fatalf("%d runs wait, want one", n)
		} else if n == 1 {
			missed[info.State.LastSeq] = true
		}
		return len(missed) == 3
	})
	taken := len(w.storedPrompts())
	w.service(tick)
	w.prompts(taken + 1)
}
