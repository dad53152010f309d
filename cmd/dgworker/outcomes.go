package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"dgworker/rules"
	"dgworker/worker"
	"dgworker/worker/queue"
)

type outcomesCommand struct {
	List outcomesListCommand `cmd:"" help:"List outcomes."`
	Show outcomesShowCommand `cmd:"" help:"Show one, with its transcript."`
}

// outcomeFilter selects outcomes.
type outcomeFilter struct {
	Bot    string `help:"Only of this bot."`
	Status string `enum:",completed,handoff,failed,interrupted,rejected" default:"" help:"Only with this status."`
	Rule   string `help:"Only where this rule fired."`
}

func (f outcomeFilter) filter(since time.Duration) queue.Filter {
	q := queue.Filter{Bot: f.Bot, Status: f.Status, Rule: f.Rule}
	if since > 0 {
		q.Since = time.Now().Add(-since)
	}
	return q
}

type outcomesListCommand struct {
	NATS   natsFlags     `embed:""`
	Filter outcomeFilter `embed:""`
	Since  time.Duration `help:"Only those of this long ago."`
	JSON   bool          `name:"json" help:"One JSON object a line."`
}

// Run lists outcomes, oldest first.
func (c outcomesListCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		count := 0
		for o, err := range a.prompts.Outcomes(ctx, c.Filter.filter(c.Since)) {
			if err != nil {
				return err
			}
			count++
			if c.JSON {
				err = printJSON(e.stdout, o)
			} else {
				_, err = fmt.Fprintln(e.stdout, outcomeLine(o))
			}
			if err != nil {
				return err
			}
		}
		if !c.JSON {
			fmt.Fprintf(e.stdout, "%d outcomes\n", count)
		}
		return nil
	})
}

func outcomeLine(o *worker.Outcome) string {
	said := o.Response
	if o.Status.Dead() || said == "" {
		said = o.Reason
	}
	return fmt.Sprintf("%s  %-11s %-12s %-24s %d fired  %s", stamp(o.EndedAt.Time), o.Status, o.Bot, o.ID, len(o.Fired), cut(oneLine(said), 80))
}

type outcomesShowCommand struct {
	NATS natsFlags `embed:""`
	ID   string    `arg:"" help:"Id of a prompt."`
	JSON bool      `name:"json" help:"As JSON."`
}

// Run shows an outcome with its transcript.
func (c outcomesShowCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		o, err := a.prompts.Outcome(ctx, c.ID)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			return fmt.Errorf("no outcome of prompt %q: it may still run, or its outcome has expired: %w", c.ID, errNo)
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.stdout, o)
		}
		printOutcome(e.stdout, o)
		return nil
	})
}

// printOutcome prints an outcome for people: what was said, what happened, what fired.
func printOutcome(w io.Writer, o *worker.Outcome) {
	fmt.Fprintf(w, "prompt    %s (bot %s, visitor %s)\nstatus    %s\n", o.ID, o.Bot, o.VisitorID, o.Status)
	if o.Reason != "" {
		fmt.Fprintf(w, "reason    %s\n", o.Reason)
	}
	fmt.Fprintf(w, "time      %s, took %s, attempts %d\nrules     version %s, worker %s\n",
		stamp(o.StartedAt.Time), o.EndedAt.Sub(o.StartedAt.Time).Truncate(time.Millisecond), o.Attempts, o.RulesVersion, o.Worker)
	for _, f := range o.History {
		fmt.Fprintf(w, "attempt %d failed %s: %s\n", f.Attempt, stamp(f.At), f.Reason)
	}
	for _, s := range o.Greeting {
		fmt.Fprintf(w, "\nbot       %s\n", s.Text)
	}
	for _, t := range o.Turns {
		printTurn(w, t)
	}
	fmt.Fprintln(w)
	printDecisions(w, o)
}

func printTurn(w io.Writer, t worker.Turn) {
	fmt.Fprintf(w, "\nvisitor   %s\n", t.Message)
	for _, s := range t.Interim {
		fmt.Fprintf(w, "bot       %s\n", s.Text)
	}
	for _, seen := range t.Events {
		if text := eventText(seen.Event); text != "" {
			fmt.Fprintf(w, "%-9s %s\n", "", text)
		}
	}
	if t.Response != "" {
		fmt.Fprintf(w, "bot       %s\n", t.Response)
	}
}

func eventText(e rules.Event) string {
	switch e.Type {
	case rules.ToolAction, rules.ToolActionResult:
		return fmt.Sprintf("[tool %s: %s]", e.Tool, e.Status)
	case rules.HandoffOffered:
		return "[a person is offered: " + e.Message + "]"
	case rules.AgentJoined:
		return "[" + e.AgentName + " joined]"
	case rules.AgentMessage:
		return e.AgentName + ": " + e.Content
	case rules.AgentLeft:
		return "[the person left]"
	}
	return ""
}

func printDecisions(w io.Writer, o *worker.Outcome) {
	for _, f := range o.Fired {
		fmt.Fprintf(w, "fired       %s on %s: %s %s (%s)\n", f.Rule, f.Event, f.Action, target(f), f.ID)
	}
	for _, f := range o.Shadow {
		fmt.Fprintf(w, "shadow      %s on %s: %s %s\n", f.Rule, f.Event, f.Action, target(f))
	}
	for _, s := range o.Suppressed {
		fmt.Fprintf(w, "suppressed  %s on %s: %s %s\n", s.Rule, s.Event, s.Why, s.Reason)
	}
	for _, r := range o.Errors {
		fmt.Fprintf(w, "error       %s on %s: %s\n", r.Rule, r.Event, r.Reason)
	}
}

// target is where a fired action goes: a subject, a webhook's name, or the bot.
func target(f worker.Fired) string {
	switch f.Action {
	case rules.KindPublish:
		return f.Subject
	case rules.KindWebhook:
		return f.Endpoint
	}
	return "to the bot"
}
