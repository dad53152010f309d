package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"time"

	"dgworker/sinks"
)

// trace is what one attempt learns about its connection. A dial can outlive the attempt that began it, hence the lock.
type trace struct {
	hooks  httptrace.ClientTrace
	limit  *limit
	header *timeoutError // the phase that begins with the connection

	mu       sync.Mutex
	address  string
	dialErr  error // of an address that the guard let pass
	reused   bool
	answered bool
	sentAt   time.Time
}

type traceKey struct{}

// begin gives the context of an attempt under l. What a dial does is looked at only once there is one (see dialTrace):
// most attempts find a connection.
func (t *trace) begin() context.Context {
	t.hooks = httptrace.ClientTrace{GotConn: t.gotConn, GotFirstResponseByte: t.gotFirstResponseByte}
	return httptrace.WithClientTrace(context.WithValue(t.limit, traceKey{}, t), &t.hooks)
}

// dialTrace is for the context of a dial.
func dialTrace(ctx context.Context) context.Context {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: t.connectDone})
	}
	return ctx
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	t.limit.phase(t.header)
	address, now := addressOf(info.Conn), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.address, t.reused, t.sentAt = address, info.Reused, now
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

// attempt sends d once, under l. stale says that nothing was wrong but the age of the connection.
func (s *Sink) attempt(l *limit, d sinks.Delivery, authorization string) (v sinks.Verdict, stale bool) {
	t := &trace{limit: l, header: &s.limits.header}
	resp, err := s.transport.RoundTrip(s.request(t.begin(), d, authorization))
	address, err, stale := t.settle(err, s.cfg.StaleWithin)
	if err != nil {
		return s.failed(l, err, address), stale
	}
	v = s.judge(d, resp)
	v.Address = address
	v.Excerpt = s.redact.excerpt(s.capture(l, resp), s.cfg.CaptureBytes, authorization)
	if resp.StatusCode == http.StatusUnauthorized && s.tokens != nil {
		s.tokens.drop(authorization) // revoked, perhaps: the next attempt asks for a new one
	}
	return v, false
}
