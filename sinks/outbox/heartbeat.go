package outbox

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// heartbeat tells NATS every third of AckWait that the action is being worked on, for as long as an attempt and its
// settlement may take. After that silence lets another worker have it: a sink that hangs must not keep it for ever.
//
// The function that it returns ends it. Most attempts are over before the first beat, and cost one timer.
func (l *lane) heartbeat(msg jetstream.Msg, timeout time.Duration) (stop func()) {
	every := l.o.cfg.AckWait / 3
	deadline := time.Now().Add(timeout + maxSettle)
	var (
		mu    sync.Mutex
		ended bool
		timer *time.Timer
	)
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if ended || time.Now().After(deadline) {
			return
		}
		l.logUnsent(msg.InProgress())
		timer.Reset(every)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		timer.Stop()
	}
}

// maxSettle is how long a result may wait for NATS to come back before another worker may try the action.
const maxSettle = 2 * time.Minute
