package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Stop takes no more prompts, lets conversations finish for the drain timeout or until ctx ends, hands the rest back, and
// closes everything. Calling it again is safe.
func (a *App) Stop(ctx context.Context) error {
	a.draining.Store(true)
	if a.watch != nil {
		a.watch.close()
	}
	drain, cancel := context.WithTimeout(ctx, a.DrainTimeout)
	defer cancel()
	a.stopBringing(drain)
	if a.intake != nil {
		a.Log.Info("draining", zap.Duration("timeout", a.DrainTimeout))
		a.intake.Stop(drain)
	}
	a.stop()
	return nil
}

// closeWait bounds what the deliveries under way may still take.
const closeWait = 10 * time.Second

func (a *App) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	var errs []error
	if a.watch != nil {
		a.watch.close()
	}
	if a.keeping != nil {
		a.keeping()
	}
	expired, expire := context.WithCancel(ctx)
	expire()
	a.stopBringing(expired)
	if a.intake != nil {
		a.intake.Stop(expired)
	}
	if a.outbox != nil {
		errs = append(errs, a.outbox.Stop(ctx))
	}
	if a.sinks != nil {
		a.sinks.close()
	}
	if a.admin != nil {
		errs = append(errs, a.admin.Stop(ctx))
	}
	if a.conn != nil {
		errs = append(errs, a.conn.FlushWithContext(ctx))
		a.conn.Close()
	}
	if a.embedded != nil {
		a.embedded.Stop()
	}
	if err := errors.Join(errs...); err != nil {
		a.Log.Warn("not everything could be closed in time", zap.Error(err))
	}
	if a.ready.Load() {
		a.Log.Info("stopped")
	}
}

// stopBringing stops what makes prompts: requests, and events.
func (a *App) stopBringing(ctx context.Context) {
	if a.ask != nil {
		a.ask.Stop()
	}
	if a.triggers != nil {
		a.triggers.Stop(ctx)
	}
}
