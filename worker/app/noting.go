package app

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// useEvery is how often it is noted that the rules are in use still: `rules versions` is as exact as that.
const useEvery = time.Hour

// keepNoting calls note every useEvery, until the function that it returns is called.
func keepNoting(note func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(useEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				note(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (a *App) noteUse(ctx context.Context) {
	if err := a.queue.KeepRules(ctx, a.worker.Rules()); err != nil && ctx.Err() == nil {
		a.Log.Warn("use of the rules could not be noted", zap.Error(err))
	}
}
