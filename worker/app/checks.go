package app

import (
	"context"
	"errors"
	"fmt"

	"dgworker/worker/admin"
)

// checks are the lines of /readyz.
func (a *App) checks() []admin.Check {
	return []admin.Check{
		{Name: "nats", Ask: func(context.Context) (string, error) {
			if !a.conn.IsConnected() {
				return "", fmt.Errorf("not connected: %s", a.conn.Status())
			}
			return a.conn.ConnectedUrlRedacted(), nil
		}},
		{Name: "taking prompts", Ask: func(ctx context.Context) (string, error) {
			if a.draining.Load() {
				return "", errors.New("draining")
			}
			return a.intake.Progress(ctx)
		}},
		{Name: "rules", Ask: func(context.Context) (string, error) { return a.rulesRemark(), nil }},
	}
}
