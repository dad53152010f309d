package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dgworker/worker/queue"
)

type versionsCommand struct {
	NATS    natsFlags `embed:""`
	Version string    `arg:"" optional:"" help:"Print the files of this version instead."`
	JSON    bool      `name:"json" help:"One JSON object a line, with the files."`
}

// Run lists the versions, the one that was used last at the end, or prints the text of one.
func (c versionsCommand) Run(e *env) error {
	return withHistory(c.NATS, func(ctx context.Context, h *history) error {
		if err := h.open(ctx); err != nil {
			return err
		}
		if c.Version != "" {
			return c.show(ctx, e, h)
		}
		all, err := h.versions.Versions(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b queue.RuleVersion) int {
			return cmp.Or(a.Last.Compare(b.Last.Time), a.First.Compare(b.First.Time), cmp.Compare(a.Version, b.Version))
		})
		return c.list(e, all)
	})
}

func (c versionsCommand) list(e *env, all []queue.RuleVersion) error {
	for _, v := range all {
		if c.JSON {
			if err := printJSON(e.stdout, v); err != nil {
				return err
			}
			continue
		}
		names := make([]string, len(v.Files))
		for i, f := range v.Files {
			names[i] = f.Name
		}
		fmt.Fprintf(e.stdout, "%s  first use %s  last use %s  %s\n", v.Version, stamp(v.First.Time), stamp(v.Last.Time), strings.Join(names, ", "))
	}
	if !c.JSON {
		fmt.Fprintln(e.stdout, count(len(all), "version"))
	}
	return nil
}

func (c versionsCommand) show(ctx context.Context, e *env, h *history) error {
	v, err := h.version(ctx, c.Version)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("no rules version %s is kept on this NATS (dgworker rules versions lists them): %w", c.Version, errNo)
	case err != nil:
		return err
	case c.JSON:
		return printJSON(e.stdout, v)
	}
	for _, f := range v.Files {
		if len(v.Files) > 1 {
			fmt.Fprintf(e.stdout, "# %s\n", f.Name)
		}
		if _, err := e.stdout.Write(f.Text); err != nil {
			return err
		}
	}
	return nil
}
