package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"dgworker/sinks"
	"dgworker/sinks/outbox"
)

type deliveriesCommand struct {
	List     deliveriesListCommand `cmd:"" help:"List actions and what became of them."`
	Show     deliveriesShowCommand `cmd:"" help:"Show one, with every attempt."`
	Disabled disabledCommand       `cmd:"" help:"List the endpoints that answered 410 and take nothing until they are enabled."`
	Enable   enableCommand         `cmd:"" help:"Let a disabled endpoint take actions again."`
}

type deliveriesListCommand struct {
	NATS     natsFlags `embed:""`
	Endpoint string    `help:"Only for this endpoint; nats is that of publish."`
	Rule     string    `help:"Only what this rule fired."`
	Prompt   string    `help:"Only of the prompt with this id."`
	Bot      string    `help:"Only of this bot."`
	State    string    `enum:",todo,wait,done,dead" default:"" help:"todo, wait, done or dead."`
	Verdict  string    `enum:",delivered,retry,limited,permanent,gone" default:"" help:"Verdict of the latest attempt."`
	JSON     bool      `name:"json" help:"One JSON object a line."`
}

// Run lists actions, oldest first.
func (c deliveriesListCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		filter := outbox.Filter{
			Endpoint: c.Endpoint, Rule: c.Rule, Prompt: c.Prompt, Bot: c.Bot, State: outbox.State(c.State), Class: sinks.Class(c.Verdict),
		}
		count := 0
		for item, err := range a.actions.List(ctx, filter) {
			if err != nil {
				return err
			}
			count++
			if c.JSON {
				err = printJSON(e.stdout, item)
			} else {
				_, err = fmt.Fprintln(e.stdout, itemLine(item))
			}
			if err != nil {
				return err
			}
		}
		if !c.JSON {
			fmt.Fprintf(e.stdout, "%d actions\n", count)
		}
		return nil
	})
}

func itemLine(i outbox.Item) string {
	d := i.Delivery
	line := fmt.Sprintf("%-5s %-38s %-14s rule %s of prompt %s, %d attempts", i.State, d.ID, d.Endpoint, d.Rule, d.Prompt, len(i.Attempts))
	if !i.Next.IsZero() {
		line += ", next " + stamp(i.Next)
	}
	if n := len(i.Attempts); n > 0 && i.State != outbox.Done {
		line += ": " + i.Attempts[n-1].Reason
	}
	return line
}

type deliveriesShowCommand struct {
	NATS natsFlags `embed:""`
	ID   string    `arg:"" help:"Id of an action."`
	JSON bool      `name:"json" help:"As JSON."`
}

// Run shows an action with its attempts.
func (c deliveriesShowCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		item, err := a.actions.Get(ctx, c.ID)
		switch {
		case errors.Is(err, outbox.ErrNotFound):
			return fmt.Errorf("no action has the id %q, or no longer: %w", c.ID, errNo)
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.stdout, item)
		}
		printItem(e.stdout, &item)
		return nil
	})
}

// printItem prints an action for people. The query of a webhook is left out: it may hold secrets.
func printItem(w io.Writer, i *outbox.Item) {
	d := i.Delivery
	fmt.Fprintf(w, "action    %s\nstate     %s\nendpoint  %s\nrule      %s\nprompt    %s (bot %s)\nevent     %s\nasked     %s\n",
		d.ID, i.State, d.Endpoint, d.Rule, d.Prompt, d.Bot, d.Event, stamp(d.CreatedAt))
	if target := d.Subject + d.Method + " " + d.Path; target != " " {
		fmt.Fprintf(w, "target    %s\n", target)
	}
	if i.Reason != "" {
		fmt.Fprintf(w, "reason    %s\n", i.Reason)
	}
	if !i.Next.IsZero() {
		fmt.Fprintf(w, "next      %s\n", stamp(i.Next))
	}
	for _, a := range i.Attempts {
		fmt.Fprintf(w, "attempt %d %s  %s %d %s, %d ms %s\n", a.N, stamp(a.At), a.Class, a.Status, a.Address, a.MS, a.Reason)
		if a.Excerpt != "" {
			fmt.Fprintf(w, "          answered: %.400s\n", a.Excerpt)
		}
	}
	if len(d.Body) > 0 && utf8.Valid(d.Body) {
		fmt.Fprintf(w, "body      %s\n", d.Body)
	}
}

type disabledCommand struct {
	NATS natsFlags `embed:""`
}

// Run lists disabled endpoints.
func (c disabledCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		disabled, err := a.actions.Disabled(ctx)
		for _, d := range disabled {
			fmt.Fprintf(e.stdout, "%s  since %s, by action %s: %s\n", d.Endpoint, stamp(d.At), d.Action, d.Reason)
		}
		if err == nil {
			fmt.Fprintf(e.stdout, "%d disabled endpoints\n", len(disabled))
		}
		return err
	})
}

type enableCommand struct {
	NATS     natsFlags `embed:""`
	Endpoint string    `arg:"" help:"Name of the endpoint."`
}

// Run enables an endpoint in all workers.
func (c enableCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		err := a.actions.Enable(ctx, c.Endpoint)
		if errors.Is(err, outbox.ErrNotFound) {
			return fmt.Errorf("endpoint %q is not disabled: %w", c.Endpoint, errNo)
		}
		if err == nil {
			fmt.Fprintf(e.stdout, "%s is enabled\n", c.Endpoint)
		}
		return err
	})
}
