package trigger

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker/queue"
)

// Config of a Service. Queue is required.
type Config struct {
	Queue       *queue.Queue
	MaxHops     int           // how many triggers in a row may lead to a prompt; defaults to 8
	Concurrency int           // events of one trigger at once in this worker, if it names no visitor; defaults to 16
	Refresh     time.Duration // how often streams that came or went are looked for; defaults to 30s
	Orphaned    time.Duration // how long a schedule stays that no worker's rules have; defaults to 10m
	Metrics     prometheus.Registerer
	Log         *zap.Logger
}

func (c *Config) fill() error {
	if c.Queue == nil {
		return errors.New("start triggers: a queue is required")
	}
	c.MaxHops = orDefault(c.MaxHops, 8)
	c.Concurrency = orDefault(c.Concurrency, 16)
	c.Refresh = orDefault(c.Refresh, 30*time.Second)
	c.Orphaned = orDefault(c.Orphaned, 10*time.Minute)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// internal are the words after the prefix that triggers can't listen on: to make a prompt of what a prompt makes is a
// loop, and some of it is not theirs to take. Outcomes and dead prompts are left: these carry their hops.
var internal = []string{"prompts", "ask", "lanes", "ready", "journal", "actions", "cron", "holders", "order", "dead.events", "dead.actions"}

// Check refuses, as rules.Problems, triggers that would go round in a circle for certain, because they listen on what the worker itself says
// under prefix.
func Check(set *rules.Set, prefix string) error {
	var problems rules.Problems
	for _, t := range set.Triggers() {
		for _, word := range internal {
			if own := prefix + "." + word + ".>"; !t.Scheduled() && server.SubjectsCollide(t.Subject, own) {
				problems = append(problems, rules.Problem{
					File: t.File, Line: t.Line, Column: 1, Hint: "choose a subject outside of " + own,
					Message: fmt.Sprintf("trigger %s listens on %s, and what it makes comes out on %s: an endless loop", t.Name, t.Subject, own),
				})
				break
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// durable is the name of a trigger's consumer and of its queue group.
func durable(prefix, name string) string {
	return strings.ReplaceAll(prefix, ".", "_") + "-trigger-" + name
}
