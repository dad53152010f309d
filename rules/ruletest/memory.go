package ruletest

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"
)

// Memory keeps the claims of `once: visitor` and `cooldown` as the workers' shared memory does, on a clock that whoever
// plays a conversation sets before each event. It is not safe for concurrent use.
//
// Recorded conversations overlap and come in the order of their ends, so the clock may step back. A claim therefore holds
// for its time on both sides of the moment when it was made: whichever of two events within a cooldown comes first, one
// fires.
type Memory struct {
	now    time.Time
	claims map[digest]claim
	sweep  int // size at which claims that are over are thrown away
}

// digest stands for a key or a holder: a fixed size keeps the memory of a long backtest small.
type digest [16]byte

type claim struct {
	holder digest
	at     int64 // Unix milliseconds
	ttl    int64 // 0 is for ever
}

const firstSweep = 10_000

// NewMemory returns a memory in which nothing is claimed.
func NewMemory() *Memory { return &Memory{claims: map[digest]claim{}, sweep: firstSweep} }

// At sets the clock.
func (m *Memory) At(t time.Time) { m.now = t }

// Claim implements rules.Claims.
func (m *Memory) Claim(_ context.Context, key, holder string, ttl time.Duration) (bool, time.Time, error) {
	k, h, now := digestOf(key), digestOf(holder), m.now.UnixMilli()
	if ttl > 0 {
		ttl = max(ttl, time.Second) // as NATS has it
	}
	if c, there := m.claims[k]; there && c.holds(now) {
		var until time.Time
		if c.ttl > 0 {
			until = time.UnixMilli(c.at + c.ttl).UTC()
		}
		return c.holder == h, until, nil
	}
	m.claims[k] = claim{h, now, ttl.Milliseconds()}
	m.forget(now)
	return true, time.Time{}, nil
}

func (c claim) holds(now int64) bool {
	return c.ttl == 0 || now < c.at+c.ttl && now > c.at-c.ttl
}

// forget throws away what is over, whenever the memory has doubled.
func (m *Memory) forget(now int64) {
	if len(m.claims) < m.sweep {
		return
	}
	for k, c := range m.claims {
		if c.ttl > 0 && now > c.at+2*c.ttl {
			delete(m.claims, k)
		}
	}
	m.sweep = max(firstSweep, 2*len(m.claims))
}

func digestOf(s string) (d digest) {
	sum := sha256.Sum256([]byte(s))
	copy(d[:], sum[:])
	return d
}

// claimOf takes a key of a claim apart, as package rules writes them: "cooldown/<rule>/<value>", "once/<rule>/<visitor>".
func claimOf(key string) (kind, rule string) {
	kind, rest, _ := strings.Cut(key, "/")
	rule, _, _ = strings.Cut(rest, "/")
	return kind, rule
}
