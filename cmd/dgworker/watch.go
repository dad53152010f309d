package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"dgworker/worker"
)

type watchCommand struct {
	NATS   natsFlags     `embed:""`
	Filter outcomeFilter `embed:""`
	JSON   bool          `name:"json" help:"One JSON object a line."`
}

// Run follows outcomes as they come, each with what it fired, until Ctrl-C.
func (c watchCommand) Run(e *env) error {
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		messages := make(chan *nats.Msg, 1024)
		sub, err := a.conn.ChanSubscribe(c.NATS.Prefix+".outcomes.>", messages)
		if err != nil {
			return fmt.Errorf("follow outcomes: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		for {
			select {
			case m := <-messages:
				if err := c.print(e, m.Data); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
}

func (c watchCommand) print(e *env, data []byte) error {
	o := new(worker.Outcome)
	if err := json.Unmarshal(data, o); err != nil {
		return fmt.Errorf("read outcome: %w", err)
	}
	if !c.Filter.filter(0).Match(o) {
		return nil
	}
	if c.JSON {
		_, err := fmt.Fprintf(e.stdout, "%s\n", data)
		return err
	}
	fmt.Fprintln(e.stdout, outcomeLine(o))
	for _, f := range o.Fired {
		fmt.Fprintf(e.stdout, "    %s on %s: %s %s %s\n", f.Rule, f.Event, f.Action, target(f), f.ID)
	}
	return nil
}
