package main

import (
	"context"
	"fmt"
	"slices"

	"dgworker/worker/queue"
)

type versionsCommand struct {
	JSON bool      `name:"json" help:"One JSON object a line, with the files."`
	NATS natsFlags `embed:""`
}

// Run lists rule sets by their last use, the latest last.
func (c versionsCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		all, err := a.prompts.Versions(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(x, y queue.RuleVersion) int { return x.Last.Compare(y.Last.Time) })
		for _, v := range all {
			if c.JSON {
				if err := printJSON(e.stdout, v); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(e.stdout, "%s  first use %s  last use %s ", v.Version, stamp(v.First.Time), stamp(v.Last.Time))
			for _, f := range v.Files {
				fmt.Fprintf(e.stdout, " %s", f.Name)
			}
			fmt.Fprintln(e.stdout)
		}
		return nil
	})
}
