package webhook

import (
	"context"
	"errors"
	"io"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"time"

	"dgworker/sinks"
)

// trace is what one attempt learns about its connection. A dial can outlive the attempt that began it, hence the lock.
type trace struct {
	httptrace.ClientTrace
	mu       sync.Mutex
	address  string
	dialErr  error // of an address that the guard let pass
	reused   bool
	answered bool
	sentAt   time.Time
}

func newTrace() *trace {
	t := new(trace)
	t.ClientTrace = httptrace.ClientTrace{
		GotConn: t.gotConn, ConnectDone: t.connectDone, GotFirstResponseByte: t.gotFirstResponseByte,
	}
	return t
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.address, t.reused, t.sentAt = info.Conn.RemoteAddr().String(), info.Reused, time.Now()
}

func (t *trace) connectDone(_, address string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.address == "" || !blocked(err) {
		t.address = address
	}
	if err != nil && !blocked(err) {
		t.dialErr = err
	}
}

func (t *trace) gotFirstResponseByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered = true
}

// settle reads the trace once the attempt is over: the address, and err made more exact. Where a name has blocked and
// allowed addresses, the dialer reports the first failure, and that may be the guard's: what the allowed one did counts.
func (t *trace) settle(err error, within time.Duration) (address string, exact error, stale bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if blocked(err) && t.dialErr != nil {
		err = t.dialErr
	}
	return t.address, err, err != nil && t.reused && !t.answered && time.Since(t.sentAt) < within && hungUp(err)
}

// hungUp holds for the ways in which net/http says that the peer closed the connection before any answer.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection") // net/http doesn't export this one
}

// attempt sends d once. own is the attempt's context and parent the caller's: if parent ended, the attempt was given up,
// and if only own did, it timed out. stale says that nothing was wrong but the age of the connection.
func (s *Sink) attempt(own, parent context.Context, d sinks.Delivery, authorization string) (v sinks.Verdict, stale bool) {
	t := newTrace()
	sending, cancel := context.WithCancel(httptrace.WithClientTrace(own, &t.ClientTrace))
	defer cancel()
	resp, err := s.transport.RoundTrip(s.request(sending, d, authorization))
	address, err, stale := t.settle(err, s.cfg.StaleWithin)
	if err != nil {
		return s.failed(own, parent, err, address), stale
	}
	v = s.judge(d, resp)
	v.Address = address
	v.Excerpt = s.redact.excerpt(s.capture(resp, cancel), s.cfg.CaptureBytes, authorization)
	if resp.StatusCode == 401 && s.tokens != nil {
		s.tokens.drop(authorization) // revoked, perhaps: the next attempt asks for a new one
	}
	return v, false
}
