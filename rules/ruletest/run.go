package ruletest

import (
	"context"
	"strconv"
	"time"

	"dgworker/rules"
)

// Result is how one test went.
type Result struct {
	File     string        `json:"file"`
	Test     string        `json:"name"`
	Line     int           `json:"line"`
	Failures []string      `json:"failures"` // what was not as expected, a few lines each; empty where all was
	Took     time.Duration `json:"took_ns"`
}

// Failed says whether anything was not as expected.
func (r *Result) Failed() bool { return len(r.Failures) > 0 }

// Run runs one test of f.
func (f *Fixture) Run(ctx context.Context, t *Test) Result {
	begun := time.Now()
	r := Result{File: f.Name, Test: t.Name, Line: t.Line, Failures: []string{}}
	claims := &testClaims{memory: NewMemory(), held: t.claimed}
	for i, c := range t.conversations {
		h := c.play(ctx, t.set, claims)
		for _, failure := range h.judge(&c.expect) {
			if len(t.conversations) > 1 {
				failure = "conversation " + strconv.Itoa(i+1) + ": " + failure
			}
			r.Failures = append(r.Failures, failure)
		}
	}
	r.Took = time.Since(begun)
	return r
}

// play puts the conversation to the rules, with the accounts of every event at hand.
func (c *conversation) play(ctx context.Context, set *rules.Set, claims *testClaims) *happened {
	p := newPlayer(set, c.prompt, c.visitor, max(1, len(c.messages)))
	p.explain = rules.NewExplainer(set)
	h := &happened{}
	put := func(list []happening) {
		for _, e := range list {
			claims.at(e.event.At)
			ds, accounts := p.put(ctx, claims, e.event, e.response)
			for i := range accounts {
				accounts[i].Decision = limited(accounts[i].Decision, ds)
			}
			h.note(e.event, p.session.Ordinal(), ds)
			h.accounts = append(h.accounts, accounted{e.event, p.session.Ordinal(), accounts})
		}
	}
	put(c.greeting)
	said := append([]string{}, c.messages...)
	for i, t := range c.turns {
		message := t.message
		if message == "" && i < len(said) {
			message = said[i]
		}
		p.begin(i, message)
		put(t.events)
		said = append(said, p.said()...)
	}
	return h
}

// testClaims is a memory in which some claims of others stand from the start.
type testClaims struct {
	memory *Memory
	held   []claimed
	now    time.Time
}

func (c *testClaims) at(t time.Time) {
	c.now = t
	c.memory.At(t)
}

// Claim implements rules.Claims.
func (c *testClaims) Claim(ctx context.Context, key, holder string, ttl time.Duration) (bool, time.Time, error) {
	_, rule := claimOf(key)
	for _, h := range c.held {
		if h.rule == rule && (h.until.IsZero() || c.now.Before(h.until)) {
			return false, h.until, nil
		}
	}
	return c.memory.Claim(ctx, key, holder, ttl)
}
