package outbox

import (
	"testing"
	"time"

	"dgworker/sinks"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	schedule := []time.Duration{0, 10 * time.Second, 100 * time.Second, 1000 * time.Second}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		v      sinks.Verdict
		tries  int
		factor float64
		want   decision
	}{
		{"delivered", sinks.Verdict{Class: sinks.Delivered}, 1, 1, decision{step: stepDone}},
		{"delivered at the last", sinks.Verdict{Class: sinks.Delivered}, 4, 1, decision{step: stepDone}},
		{"permanent", sinks.Verdict{Class: sinks.Permanent, Reason: "redirect"}, 1, 1, decision{step: stepDead, reason: "redirect"}},
		{"gone", sinks.Verdict{Class: sinks.Gone, Reason: "410"}, 9, 1, decision{step: stepPark, reason: "410"}},
		{"retry in the middle", sinks.Verdict{Class: sinks.Retry}, 1, 1, decision{step: stepAgain, delay: 10 * time.Second}},
		{"retry at the earliest", sinks.Verdict{Class: sinks.Retry}, 2, 0.8, decision{step: stepAgain, delay: 80 * time.Second}},
		{"retry at the latest", sinks.Verdict{Class: sinks.Retry}, 2, 1.2, decision{step: stepAgain, delay: 120 * time.Second}},
		{"retry exhausted", sinks.Verdict{Class: sinks.Retry, Reason: "503"}, 4, 1, decision{step: stepDead, reason: "gave up after 4 of 4 attempts: 503"}},
		{"more tries than a reloaded schedule has", sinks.Verdict{Class: sinks.Retry, Reason: "503"}, 9, 1, decision{step: stepDead, reason: "gave up after 9 of 4 attempts: 503"}},
		{"retry after is longer", sinks.Verdict{Class: sinks.Retry, RetryAfter: time.Minute}, 1, 1, decision{step: stepAgain, delay: time.Minute}},
		{"retry after is shorter", sinks.Verdict{Class: sinks.Retry, RetryAfter: time.Second}, 1, 1, decision{step: stepAgain, delay: 10 * time.Second}},
		{"retry after beyond the bound", sinks.Verdict{Class: sinks.Retry, RetryAfter: 900 * day}, 1, 1, decision{step: stepAgain, delay: day}},
		{"retry after is negative", sinks.Verdict{Class: sinks.Retry, RetryAfter: -5}, 1, 1, decision{step: stepAgain, delay: 10 * time.Second}},
		{"limited", sinks.Verdict{Class: sinks.Limited, MaxAttempts: 2}, 1, 1, decision{step: stepAgain, delay: 10 * time.Second}},
		{"limited exhausted", sinks.Verdict{Class: sinks.Limited, MaxAttempts: 2, Reason: "404"}, 2, 1, decision{step: stepDead, reason: "gave up after 2 of 2 attempts: 404"}},
		{"limited without a bound", sinks.Verdict{Class: sinks.Limited, Reason: "404"}, 3, 1, decision{step: stepDead, reason: "gave up after 3 of 3 attempts: 404"}},
		{"limited beyond the schedule", sinks.Verdict{Class: sinks.Limited, MaxAttempts: 99, Reason: "404"}, 4, 1, decision{step: stepDead, reason: "gave up after 4 of 4 attempts: 404"}},
		{"unknown class is tried again", sinks.Verdict{Class: "odd"}, 1, 1, decision{step: stepAgain, delay: 10 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := decide(c.v, c.tries, schedule, day, c.factor); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDefaultRetryIsTheSpec(t *testing.T) {
	t.Parallel()
	want := []string{"0s", "5s", "5m0s", "30m0s", "2h0m0s", "5h0m0s", "10h0m0s", "14h0m0s", "20h0m0s", "24h0m0s"}
	got := Endpoint{}.withDefaults(Config{}).Retry
	for i, w := range want {
		if len(got) != len(want) || got[i].String() != w {
			t.Fatalf("default schedule is %v", got)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	least, most := 1.0, 1.0
	for range 10_000 {
		f := spread(0.2)
		least, most = min(least, f), max(most, f)
	}
	if least < 0.8 || least > 0.81 || most > 1.2 || most < 1.19 || spread(0) != 1 {
		t.Errorf("factors from %v to %v, and %v of none", least, most, spread(0))
	}
}
