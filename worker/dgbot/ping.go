package dgbot

import (
	"errors"
	"sync"
	"time"
)

// pinger calls a function at an interval, from a timer that it arms anew after each call: between pings there is no
// goroutine, and a slow ping can't be overtaken by the next.
type pinger struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	running sync.WaitGroup // a call is armed or under way
}

// start arms the timer. send is not called again once it has returned false.
func (p *pinger) start(every time.Duration, send func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running.Add(1)
	p.timer = time.AfterFunc(every, func() {
		defer p.running.Done()
		if send() {
			p.again(every)
		}
	})
}

func (p *pinger) again(every time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.running.Add(1)
		p.timer.Reset(every)
	}
}

// stop prevents further calls; one that is under way goes on. It may be called more than once.
func (p *pinger) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		if p.timer.Stop() {
			p.running.Done()
		}
	}
}

// wait returns when no call is armed or under way. It comes after stop.
func (p *pinger) wait() { p.running.Wait() }

var pingFrame = []byte(Ping)

// sendPing sends one keep-alive. If it can't leave, the connection is as good as gone: cutting it tells the reader, who
// might wait for ever otherwise.
func (c *Conn) sendPing() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.write(pingFrame)
	if err != nil && !errors.Is(err, ErrClosed) { // Close says goodbye before it cuts
		c.Cut()
	}
	return err == nil
}
