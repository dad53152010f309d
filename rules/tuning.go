package rules

import (
	"reflect"
	"strings"
	"time"
)

// Tuning are the numbers of an endpoint that few people change. Parse fills every default.
type Tuning struct {
	ConnectTimeout      time.Duration // DNS and TCP; defaults to 5s
	TLSTimeout          time.Duration // the TLS handshake; defaults to 5s
	HeaderTimeout       time.Duration // until the last byte of the response headers; defaults to 15s
	BodyTimeout         time.Duration // the response body, after its status; defaults to 2s
	IdleTimeout         time.Duration // how long an unused connection is kept; defaults to 30s
	StaleWithin         time.Duration // a kept connection that closes within this without an answer was stale; defaults to 1s
	MaxRetryAfter       time.Duration // a longer Retry-After is cut to this; defaults to 24h
	Jitter              float64       // share by which delays of retry vary, up and down, 0 to 1; defaults to 0.2
	ClientErrorAttempts int           // attempts in all where the receiver answers with another 4xx; defaults to 3
	MaxResponseHeader   int           // bytes of response headers; defaults to 64 KiB
	MaxResponse         int           // bytes of a response that the attempt log keeps; defaults to 16 KiB
	MaxDrain            int           // bytes of a response that are read so that the connection can be kept; defaults to 64 KiB
	MaxURL              int           // bytes of a rendered URL; defaults to 2 KiB
	MaxHeader           int           // bytes of a rendered header's value; defaults to 4 KiB
	MaxBody             int           // bytes of a rendered body; defaults to 256 KiB
	Breaker             Breaker
}

// Breaker says when an endpoint or a bot that keeps failing is left alone. The defaults are an endpoint's.
type Breaker struct {
	Requests int           // attempts that the window must hold before it can open; defaults to 10
	Ratio    float64       // share of them that must have failed; defaults to 0.5
	Window   time.Duration // defaults to 60s
	Open     time.Duration // how long it stays open at first, twice as long each time after; defaults to 30s
	MaxOpen  time.Duration // at most; defaults to 10m
}

func defaultTuning() Tuning {
	return Tuning{
		ConnectTimeout: 5 * time.Second, TLSTimeout: 5 * time.Second, HeaderTimeout: 15 * time.Second, BodyTimeout: 2 * time.Second,
		IdleTimeout: 30 * time.Second, StaleWithin: time.Second, MaxRetryAfter: day, Jitter: 0.2, ClientErrorAttempts: 3,
		MaxResponseHeader: 64 << 10, MaxResponse: 16 << 10, MaxDrain: 64 << 10,
		MaxURL: maxURL, MaxHeader: maxHeader, MaxBody: maxBody,
		Breaker: Breaker{Requests: 10, Ratio: 0.5, Window: time.Minute, Open: 30 * time.Second, MaxOpen: 10 * time.Minute},
	}
}

// tuning are the keys of a webhook that set t.
func (p *parser) tuning(t *Tuning) fields {
	least := time.Millisecond
	return fields{
		"connect_timeout":       func(e entry) { p.duration(e, &t.ConnectTimeout, least, 10*time.Minute) },
		"tls_timeout":           func(e entry) { p.duration(e, &t.TLSTimeout, least, 10*time.Minute) },
		"header_timeout":        func(e entry) { p.duration(e, &t.HeaderTimeout, least, 10*time.Minute) },
		"body_timeout":          func(e entry) { p.duration(e, &t.BodyTimeout, least, 10*time.Minute) },
		"idle_timeout":          func(e entry) { p.duration(e, &t.IdleTimeout, least, day) },
		"stale_within":          func(e entry) { p.duration(e, &t.StaleWithin, least, 10*time.Minute) },
		"max_retry_after":       func(e entry) { p.duration(e, &t.MaxRetryAfter, time.Second, 7*day) },
		"jitter":                func(e entry) { p.share(e, &t.Jitter, true) },
		"client_error_attempts": func(e entry) { p.number(e, &t.ClientErrorAttempts, 1, 100) },
		"max_response_header":   func(e entry) { p.size(e, &t.MaxResponseHeader, 1<<10, 1<<20) },
		"max_response":          func(e entry) { p.size(e, &t.MaxResponse, 1<<10, 16<<10) },
		"max_drain":             func(e entry) { p.size(e, &t.MaxDrain, 1<<10, 16<<20) },
		"max_url":               func(e entry) { p.size(e, &t.MaxURL, 1<<10, 64<<10) },
		"max_header":            func(e entry) { p.size(e, &t.MaxHeader, 1<<10, 64<<10) },
		"max_body":              func(e entry) { p.size(e, &t.MaxBody, 1<<10, 512<<10) },
		"breaker":               func(e entry) { p.breaker(e, &t.Breaker) },
	}
}

func (p *parser) breaker(e entry, b *Breaker) {
	p.object(e.value, "breaker", e.at, fields{
		"requests": func(e entry) { p.number(e, &b.Requests, 1, 1_000_000) },
		"ratio":    func(e entry) { p.share(e, &b.Ratio, false) },
		"window":   func(e entry) { p.duration(e, &b.Window, time.Second, day) },
		"open":     func(e entry) { p.duration(e, &b.Open, time.Millisecond, day) },
		"max_open": func(e entry) { p.duration(e, &b.MaxOpen, time.Millisecond, day) },
	})
	if b.MaxOpen < b.Open {
		p.problem(e.at, "", "breaker: max_open is shorter than open")
	}
}

// order reads the expression whose value names the lane of a delivery. It is checked as if all event types were listed:
// which rules use the endpoint is not known here.
func (p *parser) order(e entry, w *Webhook) {
	t, ok := p.text(e)
	if !ok {
		return
	}
	all := make([]EventType, len(eventTypes))
	for i, name := range eventTypes {
		all[i] = EventType(name)
	}
	w.Order = strings.TrimSpace(t.value)
	p.orders[w.Name] = p.expression(t, all, reflect.Invalid)
}
