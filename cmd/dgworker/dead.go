package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/queue"
)

type deadCommand struct {
	List  deadListCommand  `cmd:"" help:"List dead prompts, actions and events."`
	Show  deadShowCommand  `cmd:"" help:"Show one, with its history."`
	Retry deadRetryCommand `cmd:"" help:"Run dead prompts again under new ids, dead actions under their own, and publish dead events again on their own subjects, where whoever else listens gets them too."`
	Drop  deadDropCommand  `cmd:"" help:"Remove dead letters."`
}

// deadFilter selects dead letters. Filters that speak of one kind select none of the others.
type deadFilter struct {
	Kind     string        `enum:"all,prompts,actions,events" default:"all" help:"prompts, actions, events or all."`
	Bot      string        `help:"Only of this bot."`
	Status   string        `help:"Only prompts with this status: failed, interrupted or rejected."`
	Endpoint string        `help:"Only actions for this endpoint."`
	Rule     string        `help:"Only what this rule fired."`
	Prompt   string        `help:"Only of the prompt with this id."`
	Trigger  string        `help:"Only events that this trigger could make no prompt of."`
	Since    time.Duration `help:"Only prompts and events that died within this time."`
}

func (f deadFilter) is(kind string) bool { return f.Kind == "all" || f.Kind == kind }
func (f deadFilter) prompts() bool       { return f.is("prompts") && f.Endpoint == "" && f.Trigger == "" }
func (f deadFilter) actions() bool {
	return f.is("actions") && f.Status == "" && f.Since == 0 && f.Trigger == ""
}

func (f deadFilter) empty() bool {
	return f == deadFilter{Kind: "all"}
}

// letter is a dead letter of any kind.
type letter struct {
	prompt *worker.Outcome
	action *outbox.Item
	event  *queue.DeadEvent
}

func (l letter) id() string {
	switch {
	case l.prompt != nil:
		return l.prompt.ID
	case l.event != nil:
		return l.event.ID
	}
	return l.action.Delivery.ID
}

func (l letter) MarshalJSON() ([]byte, error) {
	switch {
	case l.prompt != nil:
		return marshalKind("prompt", l.id(), l.prompt)
	case l.event != nil:
		return marshalKind("event", l.id(), l.event)
	}
	return marshalKind("action", l.id(), l.action)
}

// each calls do with every letter that f selects.
func (f deadFilter) each(ctx context.Context, a *archives, do func(letter) error) error {
	if f.prompts() {
		filter := queue.Filter{Bot: f.Bot, Status: f.Status, Prompt: f.Prompt, Rule: f.Rule}
		if f.Since > 0 {
			filter.Since = time.Now().Add(-f.Since)
		}
		for o, err := range a.prompts.Dead(ctx, filter) {
			if err == nil {
				err = do(letter{prompt: o})
			}
			if err != nil {
				return err
			}
		}
	}
	if f.actions() {
		filter := outbox.Filter{Bot: f.Bot, Endpoint: f.Endpoint, Rule: f.Rule, Prompt: f.Prompt}
		for item, err := range a.actions.DeadList(ctx, filter) {
			if err == nil {
				err = do(letter{action: &item})
			}
			if err != nil {
				return err
			}
		}
	}
	return f.eachEvent(ctx, a, do)
}

// find returns the dead letter with this id, of whichever kind.
func find(ctx context.Context, a *archives, id string) (letter, error) {
	o, err := a.prompts.DeadPrompt(ctx, id)
	if err == nil {
		return letter{prompt: o}, nil
	}
	if !errors.Is(err, queue.ErrNotFound) {
		return letter{}, err
	}
	e, err := a.prompts.DeadEvent(ctx, id)
	if err == nil {
		return letter{event: e}, nil
	}
	if !errors.Is(err, queue.ErrNotFound) {
		return letter{}, err
	}
	item, err := a.actions.DeadShow(ctx, id)
	if errors.Is(err, outbox.ErrNotFound) {
		return letter{}, fmt.Errorf("no dead prompt, action or event has the id %q: %w", id, errNo)
	}
	return letter{action: &item}, err
}

type deadListCommand struct {
	NATS   natsFlags  `embed:""`
	Filter deadFilter `embed:""`
	JSON   bool       `name:"json" help:"One JSON object a line."`
}

// Run lists dead letters, oldest first.
func (c deadListCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		count := 0
		err := c.Filter.each(ctx, a, func(l letter) error {
			count++
			return printLetter(e.stdout, l, c.JSON)
		})
		if err == nil && !c.JSON {
			fmt.Fprintf(e.stdout, "%d dead letters\n", count)
		}
		return err
	})
}

func printLetter(w io.Writer, l letter, asJSON bool) error {
	if asJSON {
		return printJSON(w, l)
	}
	var err error
	if o := l.prompt; o != nil {
		_, err = fmt.Fprintf(w, "prompt  %-28s %s  %-11s bot %-14s %s\n", o.ID, stamp(o.EndedAt.Time), o.Status, o.Bot, o.Reason)
		return err
	}
	if l.event != nil {
		return printEventLine(w, l.event)
	}
	d := l.action.Delivery
	_, err = fmt.Fprintf(w, "action  %-28s %s  %-11s rule %s of prompt %s: %s\n", d.ID, stamp(l.action.At), d.Endpoint, d.Rule, d.Prompt, l.action.Reason)
	return err
}

type deadShowCommand struct {
	NATS natsFlags `embed:""`
	ID   string    `arg:"" help:"Id of a prompt, an action or an event."`
	JSON bool      `name:"json" help:"As JSON."`
}

// Run shows one dead letter.
func (c deadShowCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		l, err := find(ctx, a, c.ID)
		switch {
		case err != nil:
			return err
		case c.JSON:
			return printJSON(e.stdout, l)
		case l.prompt != nil:
			printOutcome(e.stdout, l.prompt)
		case l.event != nil:
			printEvent(e.stdout, l.event)
		default:
			printItem(e.stdout, l.action)
		}
		return nil
	})
}

// deadChoice is what retry and drop work on: ids, a filter, or all.
type deadChoice struct {
	IDs    []string   `arg:"" optional:"" name:"id" help:"Ids of prompts, actions or events."`
	Filter deadFilter `embed:""`
	All    bool       `help:"Every dead letter."`
	DryRun bool       `help:"Say what would be done, and do nothing."`
}

// chosen returns the letters that were chosen, before anything is done to them.
func (c deadChoice) chosen(ctx context.Context, a *archives) ([]letter, error) {
	if len(c.IDs) == 0 && c.Filter.empty() && !c.All {
		return nil, errors.New("say which: ids, a filter such as --endpoint, or --all; look first with --dry-run")
	}
	var letters []letter
	for _, id := range c.IDs {
		l, err := find(ctx, a, id)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	if len(c.IDs) > 0 {
		return letters, nil
	}
	err := c.Filter.each(ctx, a, func(l letter) error {
		letters = append(letters, l)
		return nil
	})
	return letters, err
}

type deadRetryCommand struct {
	NATS   natsFlags  `embed:""`
	Choice deadChoice `embed:""`
}

// Run makes the chosen letters alive again. Nothing is removed before its copy is stored.
func (c deadRetryCommand) Run(e *env) error {
	return c.Choice.apply(c.NATS, e, "retry", func(ctx context.Context, a *archives, l letter) (string, error) {
		if l.prompt != nil {
			id, err := a.prompts.RetryPrompt(ctx, l.id())
			return "runs again as " + id, err
		}
		if l.event != nil {
			return "published again on " + l.event.Subject, a.prompts.RetryEvent(ctx, l.id())
		}
		return "will be delivered again", a.actions.Retry(ctx, l.id())
	})
}

type deadDropCommand struct {
	NATS   natsFlags  `embed:""`
	Choice deadChoice `embed:""`
}

// Run removes the chosen letters.
func (c deadDropCommand) Run(e *env) error {
	return c.Choice.apply(c.NATS, e, "drop", func(ctx context.Context, a *archives, l letter) (string, error) {
		if l.prompt != nil {
			return "removed", a.prompts.DropPrompt(ctx, l.id())
		}
		if l.event != nil {
			return "removed", a.prompts.DropEvent(ctx, l.id())
		}
		return "removed", a.actions.Drop(ctx, l.id())
	})
}

func (c deadChoice) apply(nats natsFlags, e *env, verb string, do func(context.Context, *archives, letter) (string, error)) error {
	return withArchives(nats, func(ctx context.Context, a *archives) error {
		letters, err := c.chosen(ctx, a)
		if err != nil {
			return err
		}
		for _, l := range letters {
			said := "would " + verb
			if !c.DryRun {
				if said, err = do(ctx, a, l); err != nil {
					return err
				}
			}
			fmt.Fprintf(e.stdout, "%s: %s\n", l.id(), said)
		}
		fmt.Fprintf(e.stdout, "%d dead letters\n", len(letters))
		return nil
	})
}
