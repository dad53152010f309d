package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"dgworker/worker/queue"
)

func (f deadFilter) events() bool {
	return f.is("events") && f.Status == "" && f.Endpoint == "" && f.Rule == "" && f.Prompt == ""
}

// eachEvent calls do with every dead event that f selects.
func (f deadFilter) eachEvent(ctx context.Context, a *archives, do func(letter) error) error {
	if !f.events() {
		return nil
	}
	filter := queue.EventFilter{Trigger: f.Trigger, Bot: f.Bot}
	if f.Since > 0 {
		filter.Since = time.Now().Add(-f.Since)
	}
	for e, err := range a.prompts.DeadEvents(ctx, filter) {
		if err == nil {
			err = do(letter{event: e})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func printEventLine(w io.Writer, e *queue.DeadEvent) error {
	_, err := fmt.Fprintf(w, "event   %-28s %s  trigger %s on %s: %s\n", e.ID, stamp(e.DiedAt.Time), e.Trigger, e.Subject, e.Reason)
	return err
}

func printEvent(w io.Writer, e *queue.DeadEvent) {
	fmt.Fprintf(w, "%s: event of trigger %s, bot %s\n%s\n\n", e.ID, e.Trigger, e.Bot, e.Reason)
	fmt.Fprintf(w, "subject  %s\nat       %s\ndied     %s\n", e.Subject, stamp(e.At.Time), stamp(e.DiedAt.Time))
	if e.Stream != "" {
		fmt.Fprintf(w, "stream   %s, sequence %d\n", e.Stream, e.Sequence)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		for _, value := range e.Headers[name] {
			fmt.Fprintf(w, "header   %s: %s\n", name, printable(value))
		}
	}
	if e.Truncated {
		fmt.Fprintln(w, "the payload is cut: it was too large for a dead letter")
	}
	if e.Bytes != nil {
		fmt.Fprintf(w, "\n%x\n", e.Bytes)
		return
	}
	fmt.Fprintf(w, "\n%s\n", printable(e.Payload))
}

// printable replaces control characters, which could do anything to a terminal: whoever may publish wrote this.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
