package e2e

import (
	"fmt"
	"strings"
	"testing"

	"dgworker/worker"
)

// A bot that goes on with the first prompt for a while and never ends, and is quick with the later ones.
const halfwayBot = `
replies:
  - match: forever
    times: 1
    steps: [{wait: 1s}, {tool: {name: lookup, takes: 1ms}}, {silence: }]
  - steps: [{wait: 1s}, {stream: "Your refund has been issued."}]
`

const halfwayRules = pauseRules + `
  - {name: looked, on: tool_action_result, when: event.status == "done", actions: [{publish: office.looked}]}
`

// A worker that is cut off from NATS can't be told that its prompt has gone to another. It must hang up by itself before
// that, whatever it is doing: a visitor is in one conversation at a time.
func TestCutOffWorkerHangsUp(t *testing.T) {
	t.Parallel()
	silence := func(p *proxy) { p.block() }
	// What the bot says meanwhile is to be journaled by a client that is busy with its own handshake, and lets nobody in.
	halfOpen := func(p *proxy) { p.block(); p.cut() }
	for _, tc := range []struct {
		name, subject string
		fault         func(*proxy)
	}{
		{"plain", "dgbot.prompts.support", silence},
		{"lane", "dgbot.prompts.support.lane", silence},
		{"while it connects again", "dgbot.prompts.support", halfOpen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newWorld(t, halfwayBot, halfwayRules)
			p := startProxy(t, strings.TrimPrefix(s.url, "nats://"))
			direct := s.url
			s.url = p.url()
			late := s.worker("late")
			s.url = direct
			s.send(tc.subject, say("p1", "This takes forever."))
			s.said(1, patience)
			tc.fault(p)
			s.worker("other")
			o := s.ended("p1", worker.Completed)
			if n := len(s.sim.Overlaps()); n != 0 {
				t.Errorf("the visitor was there twice: %+v", s.sim.Overlaps())
			}
			p.unblock()
			says(late, "overtaken")
			s.send(tc.subject, say("p2", "Another refund, please."))
			s.ended("p2", worker.Completed)
			s.settled()
			s.once("p1", "p2")
			if o.Attempts != 2 {
				t.Errorf("%d attempts, want 2", o.Attempts)
			}
		})
	}
}

// The same for a worker whose own server answers, while that server is cut off from the one that keeps the prompts.
func TestWorkerOfACutOffServerHangsUp(t *testing.T) {
	t.Parallel()
	hub, url, leaf, link := startLeaf(t)
	s := newWorldOn(t, hub, url, halfwayBot, halfwayRules)
	s.url = leaf
	s.worker("late", "--nats-domain", "hub")
	s.url = url
	s.send("dgbot.prompts.support", say("p1", "This takes forever."))
	s.said(1, patience)
	link.block()
	s.worker("other")
	o := s.ended("p1", worker.Completed)
	if n := len(s.sim.Overlaps()); n != 0 {
		t.Errorf("the visitor was there twice: %+v", s.sim.Overlaps())
	}
	if o.Attempts != 2 {
		t.Errorf("%d attempts, want 2", o.Attempts)
	}
	s.settled()
	s.once("p1")
}

// A NATS server that is killed forgets whom it gave what in its last moments, and gives it to others. Those who hold it are
// there: they keep it.
func TestNATSForgetsWhoHoldsWhat(t *testing.T) {
	t.Parallel()
	s := newWorld(t, `replies: [{steps: [{wait: 3s}, {stream: "Your refund has been issued."}]}]`, pauseRules)
	for _, name := range []string{"one", "two", "three"} {
		s.worker(name)
	}
	var ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprintf("p%d", i))
		subject := "dgbot.prompts.support"
		if i%2 == 0 {
			subject += fmt.Sprintf(".lane-%d", i)
		}
		s.send(subject, say(ids[i], "A refund, please."))
	}
	s.said(len(ids), patience)
	s.nats.kill()
	s.nats.start()
	for _, id := range ids {
		if o := s.ended(id, worker.Completed); o.Attempts != 1 {
			t.Errorf("prompt %s took %d attempts: its worker lives", id, o.Attempts)
		}
	}
	if n := len(s.sim.Overlaps()); n != 0 {
		t.Errorf("%d visitors were there twice: %+v", n, s.sim.Overlaps())
	}
	if n := len(s.messages()); n != len(ids) {
		t.Errorf("the bot received %d messages for %d prompts", n, len(ids))
	}
	s.settled()
	s.once(ids...)
}
