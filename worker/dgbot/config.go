package dgbot

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Defaults of Config.
const (
	DefaultURL            = "wss://dgbot.dgtech.co.in/ws"
	DefaultConnectTimeout = 10 * time.Second
	DefaultPingEvery      = 27 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultMaxFrame       = 1 << 20
)

// Config says which bot a Client talks to, and within which limits. Zero values stand for the defaults.
type Config struct {
	URL string // ws:// or wss://, with whatever query it needs besides key and visitor_id. Defaults to DefaultURL.
	Key string // the chatbot's id. Required.

	TLS *tls.Config // for wss; copied. Defaults to the system's roots and TLS 1.2 or newer.

	ConnectTimeout time.Duration // for TCP, TLS and the handshake together. Defaults to 10 s.
	PingEvery      time.Duration // defaults to 27 s; DGbot wants 25 to 30 s, other values are for tests.
	WriteTimeout   time.Duration // for one frame to leave. Defaults to 10 s.
	MaxFrame       int           // bytes of one incoming message, its fragments together. Defaults to 1 MiB.
}

func (c Config) withDefaults() Config {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.ConnectTimeout: DefaultConnectTimeout,
		&c.PingEvery:      DefaultPingEvery,
		&c.WriteTimeout:   DefaultWriteTimeout,
	} {
		if *d == 0 {
			*d = def
		}
	}
	if c.MaxFrame == 0 {
		c.MaxFrame = DefaultMaxFrame
	}
	return c
}

// validate reports every mistake, joined; the URL comes back parsed. No message shows the URL's query.
func (c Config) validate() (*url.URL, error) {
	u, err := parseURL(c.URL)
	errs := []error{err}
	if c.Key == "" {
		errs = append(errs, errors.New("key is empty: set it to the chatbot's id"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"connect timeout", c.ConnectTimeout}, {"ping interval", c.PingEvery}, {"write timeout", c.WriteTimeout}} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %s: it must be above zero", d.name, d.value))
		}
	}
	if c.MaxFrame < 0 {
		errs = append(errs, fmt.Errorf("frame limit is %d bytes: it must be above zero", c.MaxFrame))
	}
	return u, errors.Join(errs...)
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var parse *url.Error // its own text would repeat the whole URL
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("parse url: %w", withoutQuery(s, err))
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("url has the scheme %q: use wss:// (or ws:// for tests)", u.Scheme)
	case u.Host == "":
		return nil, errors.New("url has no host: write it as wss://host/ws")
	case u.User != nil:
		return nil, errors.New("url has a user: WebSocket URLs can't carry one")
	case u.Fragment != "":
		return nil, errors.New("url has a fragment (#…): WebSocket URLs can't carry one")
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errors.New("url has a query that is not valid: escape it") // the cause would quote it
	}
	return u, nil
}
