package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// Line is this worker's way to one bot: its client, its limits and its breaker. A bot that is down or throttling closes
// its own line and holds up no other.
type Line struct {
	bot     *rules.Bot
	client  *dgbot.Client
	limiter *rate.Limiter // nil for no limit
	dials   chan struct{} // bounds the sockets that are being opened: a bot that is slow to answer holds up its own alone
	breaker *breaker
}

func newLine(b *rules.Bot, dials int, log *zap.Logger, m *Metrics) (*Line, error) {
	cfg := dgbot.Config{URL: b.URL, Key: b.Key, ConnectTimeout: b.ConnectTimeout, MaxFrame: b.MaxFrame}
	if b.CA != "" {
		pool, err := readRoots(b.CA)
		if err != nil {
			return nil, err
		}
		cfg.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	client, err := dgbot.New(cfg)
	if err != nil {
		return nil, err
	}
	l := &Line{bot: b, client: client, dials: make(chan struct{}, dials)}
	if b.Rate > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(b.Rate), max(1, int(b.Rate)))
	}
	l.breaker = newBreaker(b.Breaker, log.With(zap.String("bot", b.Name)), m.breaker.WithLabelValues(b.Name))
	return l, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ca: %s holds no PEM certificate", file)
	}
	return pool, nil
}

// Admit waits until bot may have another conversation: see Line.Admit.
func (w *Worker) Admit(ctx context.Context, bot string) error {
	line := w.Line(bot)
	if line == nil {
		return fmt.Errorf("no bot %q in the rules", bot)
	}
	return line.Admit(ctx)
}

// Admit waits until the bot may have another conversation: its line is open and its rate allows it. While the breaker is
// open one caller at a time goes and probes.
func (l *Line) Admit(ctx context.Context) error {
	if l.limiter != nil {
		if err := l.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	return l.breaker.wait(ctx, l.probe)
}

// Closed returns how long the line stays closed yet, 0 if it is open.
func (l *Line) Closed() time.Duration { return l.breaker.closedFor() }

// probe tries whether the bot answers at all, with no prompt at stake.
func (l *Line) probe(ctx context.Context) error {
	conn, err := l.client.Dial(ctx, newVisitorID())
	if err != nil {
		return l.judge(err)
	}
	return conn.Close()
}

// dial opens a socket and lets the breaker know how it went.
func (l *Line) dial(ctx context.Context, visitorID string) (*dgbot.Conn, error) {
	select {
	case l.dials <- struct{}{}:
		defer func() { <-l.dials }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	conn, err := l.client.Dial(ctx, visitorID)
	if ctx.Err() == nil {
		l.breaker.note(l.judge(err))
	}
	return conn, err
}

// judge tells the refusals that speak of this visitor or key from those that speak of the bot. Throttling closes the
// line for as long as the bot asked.
func (l *Line) judge(err error) error {
	var refused *dgbot.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	if refused.RetryAfter > 0 {
		l.breaker.pause(refused.RetryAfter)
	}
	if !refused.Temporary() || refused.Status == 429 {
		return nil
	}
	return err
}
