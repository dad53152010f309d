package e2e

import (
	"strings"
	"syscall"
	"testing"

	"dgworker/worker"
)

// A bot whose first answer nobody ever hears the end of, and whose later ones take a while.
const slowBot = `
replies:
  - match: (?i)forever
    times: 1
    steps: [{silence: }]
  - match: Hello
    steps: [{wait: 4s}, {stream: Hello.}]
  - steps: [{wait: 4s}, {stream: "Your refund has been issued."}]
`

const pauseRules = `
bots:
  support: {key: k, url: "%s", settle: 50ms}
rules:
  - {name: confirmed, on: final_response, when: 'response.text matches "issued"', actions: [{publish: office.confirmed}]}
`

// A prompt is handed to a worker that is stopped, and so is never read, until it has been handed to another that is in
// the middle of the conversation. The first, when it goes on, must not take it away from the one that lives.
func TestPausedWorkerDoesNotTakeBack(t *testing.T) {
	t.Parallel()
	s := newWorld(t, slowBot, pauseRules)
	late := s.worker("late")
	s.asked("bot-support")
	late.stop()
	s.send("dgbot.prompts.support", say("p1", "A refund, please."))
	s.taken("bot-support")
	s.worker("other")
	s.said(1, patience)
	late.signal(syscall.SIGCONT)
	says(late, "overtaken")
	if o := s.ended("p1", worker.Completed); o.Attempts != 1 {
		t.Errorf("attempts: %d, want 1: nobody failed", o.Attempts)
	}
	s.settled()
	s.once("p1")
	if n := len(s.messages()); n != 1 {
		t.Errorf("the bot received %d messages, want 1: %q", n, s.messages())
	}
	if n := len(s.sim.Overlaps()); n != 0 {
		t.Errorf("the visitor was there twice: %+v", s.sim.Overlaps())
	}
}

// The same with a lane: its token was handed to a worker that is stopped.
func TestPausedWorkerDoesNotTakeBackLane(t *testing.T) {
	t.Parallel()
	s := newWorld(t, slowBot, pauseRules)
	late := s.worker("late")
	s.send("dgbot.prompts.support.lane", say("p1", "A refund, please."))
	s.said(1, patience)
	late.stop()
	s.worker("other")
	s.send("dgbot.prompts.support.lane", say("p2", "Another refund, please."))
	s.said(2, patience) // p1 again: it had shown nothing
	late.signal(syscall.SIGCONT)
	says(late, "overtaken")
	s.ended("p1", worker.Completed)
	if o := s.ended("p2", worker.Completed); o.Attempts != 1 {
		t.Errorf("attempts: %d, want 1: nobody failed", o.Attempts)
	}
	s.settled()
	s.once("p1", "p2")
	want := []string{"lane: A refund, please.", "lane: A refund, please.", "lane: Another refund, please."}
	same(t, s.messages(), want)
}

// A worker that was stopped and overtaken hears the answer to its own message when it goes on. Nothing fires, so nothing has
// to be journaled: but it must not end the prompt that another is in the middle of.
func TestPausedWorkerEndsNothing(t *testing.T) {
	t.Parallel()
	s := newWorld(t, slowBot, pauseRules)
	late := s.worker("late")
	s.send("dgbot.prompts.support", say("p1", "Hello?"))
	s.said(1, patience)
	late.stop()
	s.worker("other")
	s.said(2, patience)
	late.signal(syscall.SIGCONT)
	says(late, "overtaken")
	o := s.ended("p1", worker.Completed)
	if o.Attempts != 2 || len(o.History) != 1 {
		t.Errorf("attempts %d, history %v, want 2 and 1: the outcome is that of the late worker", o.Attempts, o.History)
	}
	s.settled()
	s.once("p1")
	for _, r := range s.journal("p1")[1:] {
		if !strings.HasPrefix(r.Writer, o.Worker+"/") {
			t.Errorf("the late worker wrote %+v after it had been overtaken", r)
		}
	}
}
