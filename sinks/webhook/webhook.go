package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"dgworker/sinks"
)

// Sink posts deliveries to one endpoint. It is safe for concurrent use.
type Sink struct {
	cfg       Config
	url       *url.URL
	signer    signer
	limits    struct{ whole, header, body timeoutError }
	template  *http.Request
	static    http.Header // sent with every request; its slices are shared and never written to
	transport *http.Transport
	tokens    *tokens // nil without OAuth2
	redact    *redactor
	buffers   sync.Pool // of *[]byte, CaptureBytes long
}

// New checks cfg and makes its sink; it opens no connection. The error names every mistake, and holds no secret.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	keys, err := newSigner(cfg.Secrets)
	if err := errors.Join(cfg.validate(), err); err != nil {
		return nil, fmt.Errorf("configure webhook %q: %w", cfg.Name, err)
	}
	s := &Sink{cfg: cfg, signer: keys, template: template(), static: staticHeader(cfg), redact: newRedactor(cfg)}
	s.limits.whole = timeoutError{"answer", cfg.Timeout}
	s.limits.header = timeoutError{"response headers", cfg.HeaderTimeout}
	s.limits.body = timeoutError{"end of the response body", cfg.BodyTimeout}
	s.buffers.New = func() any { b := make([]byte, cfg.CaptureBytes); return &b }
	if s.url, err = parseURL(cfg.URL); err == nil {
		s.transport, err = newTransport(cfg, s.url)
	}
	if err == nil && cfg.OAuth2 != nil {
		s.tokens, err = newTokens(cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("configure webhook %q: %w", cfg.Name, err)
	}
	return s, nil
}

func staticHeader(cfg Config) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {cfg.UserAgent}}
	if cfg.Format == FormatCloudEvents {
		h.Set("Content-Type", "application/cloudevents+json; charset=UTF-8")
	}
	for name, value := range cfg.Headers {
		h.Set(name, value)
	}
	return h
}

// Close lets go of the kept connections and of dials that nobody waits for. Attempts that are under way end by
// themselves, and what they leave is not kept either.
func (s *Sink) Close() {
	s.transport.CloseIdleConnections()
	if s.tokens != nil {
		s.tokens.close()
	}
}

// Deliver makes one attempt at d, in Config.Timeout at most. It never changes d.
func (s *Sink) Deliver(ctx context.Context, d sinks.Delivery) sinks.Verdict {
	if err := check(d); err != nil {
		return sinks.Verdict{Class: sinks.Permanent, Reason: "the delivery can't be sent: " + s.redact.reason(err.Error())}
	}
	l := newLimit(ctx, &s.limits.whole)
	defer l.end()
	authorization, err := s.authorization(l)
	if err != nil {
		return s.failed(l, err, "")
	}
	v, stale := s.attempt(l, d, authorization)
	if stale {
		s.transport.CloseIdleConnections() // the others are as old
		v, _ = s.attempt(l, d, authorization)
		v.Reason = joined("sent again at once: the kept connection was stale", v.Reason)
	}
	return v
}

func joined(first, second string) string {
	if second == "" {
		return first
	}
	return first + "; " + second
}
