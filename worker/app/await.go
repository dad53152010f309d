package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"dgworker/worker/broker"
)

// askAgain is how long Start waits before it tries again to reach NATS.
const askAgain = 250 * time.Millisecond

// untilNATSIsThere tries step again while NATS is away or has no leader yet, for as long as Config.NATSWait: workers and
// servers are often started together, and restarted together.
func (a *App) untilNATSIsThere(ctx context.Context, step func() error) error {
	for deadline, said := time.Now().Add(a.NATSWait), false; ; said = true {
		err := step()
		if err == nil || !broker.MayPass(err) || !time.Now().Before(deadline) {
			return err
		}
		if !said {
			a.Log.Warn("NATS is not there yet: trying again", zap.Error(err), zap.Duration("for", a.NATSWait))
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
