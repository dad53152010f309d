package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"dgworker/worker"
)

// screen prints what happens, a line each, in 80 columns.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

const columns = 80

func newScreen(out io.Writer) *screen { return &screen{out: out, start: time.Now()} }

func (s *screen) intro(nats, admin string) {
	fmt.Fprintf(s.out, `dgworker demo: rules.example.yaml, a simulated DGbot, and a webhook receiver.
NATS on %s, admin port on http://%s

`, nats, admin)
}

// line prints one thing that happened. what is at most 9 characters.
func (s *screen) line(what, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, cut(fmt.Sprintf("%5.1fs %-9s %s", time.Since(s.start).Seconds(), what, oneLine(text)), columns))
}

func (s *screen) prompt(sc *scene)         { s.line("prompt", sc.id+": "+sc.about) }
func (s *screen) said(message string)      { s.line("visitor", message) }
func (s *screen) published(subject string) { s.line("publish", subject) }
func (s *screen) trouble(text string)      { s.line("TROUBLE", text) }

func (s *screen) webhook(method, path string, body []byte) {
	s.line("webhook", fmt.Sprintf("%s %s %s (signature verified)", method, path, body))
}

func (s *screen) outcome(o *worker.Outcome) {
	text := o.Response
	if text == "" {
		text = o.Reason
	}
	s.line("outcome", fmt.Sprintf("%s %s: %s", o.ID, o.Status, text))
}

// table prints what became of the scenes, and says whether everything expected happened.
func (s *screen) table(scenes []*scene) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%-12s %5s %6s %-29s %9s %s\n", "PROMPT", "TURNS", "EVENTS", "RULES FIRED", "DELIVERED", "OUTCOME")
	all := true
	for _, sc := range scenes {
		all = all && sc.passed()
		fmt.Fprintln(s.out, cut(row(sc), columns+2))
	}
	if all {
		fmt.Fprintln(s.out, "\nEvery expected thing happened.")
	} else {
		fmt.Fprintln(s.out, "\nNot everything happened as expected: see the lines marked ✗.")
	}
	return all
}

func row(sc *scene) string {
	mark := "✓"
	if !sc.passed() {
		mark = "✗"
	}
	if sc.outcome == nil {
		return fmt.Sprintf("%-12s %5s %6s %-29s %9s %s %s", sc.id, "-", "-", "", "", mark, "no outcome")
	}
	o, events := sc.outcome, 0
	for _, t := range o.Turns {
		events += len(t.Events)
	}
	events += len(o.Events)
	fired := strings.Join(firedRules(o.Fired), " ")
	if len(o.Shadow) > 0 {
		fired = strings.TrimSpace(fired + " (" + strings.Join(firedRules(o.Shadow), " ") + ")")
	}
	if utf8.RuneCountInString(fired) > 29 {
		fired = cut(fired, 29)
	}
	return fmt.Sprintf("%-12s %5d %6d %-29s %9s %s %s", sc.id, len(o.Turns), events, fired,
		fmt.Sprintf("%d of %d", len(sc.delivered), len(outgoing(o))), mark, o.Status)
}

// invite says how to go on.
func (s *screen) invite(nats string) {
	fmt.Fprintf(s.out, `
(In brackets: rules in shadow mode, which decide and do nothing.)
The worker goes on. Send a prompt of your own, from another terminal:

  nats -s %s pub dgbot.prompts.support 'Where is order 1234?'
  nats -s %s sub 'dgbot.outcomes.>'

Ctrl-C ends the demo.

`, nats, nats)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
