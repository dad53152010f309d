package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// stalledAfter is how long prompts may wait with nothing moving before the worker says that it isn't ready.
const stalledAfter = time.Minute

// moved remembers when the intake last took or settled something.
type moved struct{ at atomic.Int64 }

func (m *moved) now() { m.at.Store(time.Now().UnixNano()) }

func (m *moved) ago() time.Duration { return time.Since(time.Unix(0, m.at.Load())) }

// Progress says how many prompts wait, and returns an error if some do and nothing has moved for a minute.
func (in *Intake) Progress(ctx context.Context) (string, error) {
	in.mu.Lock()
	bots := make([]string, 0, len(in.bots))
	for bot := range in.bots {
		bots = append(bots, bot.Name)
	}
	in.mu.Unlock()
	waiting := uint64(0)
	for _, bot := range bots {
		consumer, err := in.q.prompts.Consumer(ctx, "bot-"+bot)
		if err != nil {
			return "", fmt.Errorf("ask for waiting prompts of bot %s: %w", bot, err)
		}
		waiting += consumer.CachedInfo().NumPending
	}
	if ago := in.moved.ago(); waiting > 0 && ago > stalledAfter {
		return "", fmt.Errorf("%d prompts wait and nothing has moved for %s", waiting, ago.Truncate(time.Second))
	}
	return fmt.Sprintf("%d prompts wait", waiting), nil
}
