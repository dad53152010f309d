package app

import (
	"context"
	"errors"
	"fmt"

	"dgworker/worker/admin"
	"dgworker/worker/broker"
)

// checks are the lines of /readyz.
func (a *App) checks() []admin.Check {
	return []admin.Check{
		{Name: "nats", Ask: func(context.Context) (string, error) {
			if !a.conn.IsConnected() {
				return "", fmt.Errorf("not connected: %s", a.conn.Status())
			}
			return broker.Address(a.conn), nil
		}},
		{Name: "taking prompts", Ask: func(ctx context.Context) (string, error) {
			switch {
			case a.draining.Load():
				return "", errors.New("draining")
			case !a.ready.Load(): // the port answers before the intake is there
				return "", errors.New("starting")
			}
			return a.intake.Progress(ctx)
		}},
		{Name: "rules", Ask: func(context.Context) (string, error) { return a.rulesRemark(), nil }},
	}
}
