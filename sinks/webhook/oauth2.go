package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"dgworker/sinks"
)

// tokens fetches and keeps one endpoint's access token. One attempt fetches and the others wait; the lock is a channel,
// so that an attempt that waits still ends when its own context does.
type tokens struct {
	grant     clientcredentials.Config
	transport *http.Transport
	client    *http.Client
	fetching  chan struct{} // holds one element while an attempt fetches
	current   atomic.Pointer[oauth2.Token]
}

func newTokens(cfg Config) (*tokens, error) {
	at, err := parseURL(cfg.OAuth2.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("oauth2: token_url: %w", err)
	}
	transport, err := newTransport(cfg, at)
	if err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	transport.ResponseHeaderTimeout = cfg.HeaderTimeout // an attempt's own is kept by its limit
	return &tokens{
		grant: clientcredentials.Config{
			ClientID: cfg.OAuth2.ClientID, ClientSecret: cfg.OAuth2.ClientSecret,
			TokenURL: cfg.OAuth2.TokenURL, Scopes: cfg.OAuth2.Scopes,
		},
		transport: transport,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		fetching: make(chan struct{}, 1),
	}, nil
}

// authorization is the value of the Authorization header, or "" without OAuth2.
func (s *Sink) authorization(ctx context.Context) (string, error) {
	if s.tokens == nil {
		return "", nil
	}
	return s.tokens.header(ctx)
}

func (t *tokens) header(ctx context.Context) (string, error) {
	if token := t.current.Load(); token.Valid() {
		return header(token), nil
	}
	select {
	case t.fetching <- struct{}{}:
		defer func() { <-t.fetching }()
	case <-ctx.Done():
		return "", &tokenError{cause: ctx.Err()}
	}
	if token := t.current.Load(); token.Valid() { // another attempt's, while this one waited
		return header(token), nil
	}
	token, err := t.grant.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return "", newTokenError(err)
	}
	if !fieldValue(header(token)) {
		return "", &tokenError{cause: errors.New("the access token holds a control character")}
	}
	t.current.Store(token)
	return header(token), nil
}

func header(token *oauth2.Token) string { return token.Type() + " " + token.AccessToken }

// drop forgets the token behind authorization, unless another attempt has replaced it already.
func (t *tokens) drop(authorization string) {
	if token := t.current.Load(); token != nil && header(token) == authorization {
		t.current.CompareAndSwap(token, nil)
	}
}

func (t *tokens) close() { t.transport.CloseIdleConnections() }

// tokenError is a token server that gave no token. It keeps the status and the standard's error code, never the body:
// servers repeat what they were sent.
type tokenError struct {
	status int // 0: no usable answer
	after  string
	cause  error
}

func newTokenError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return &tokenError{cause: unquoted(err)}
	}
	e := &tokenError{status: refused.Response.StatusCode, after: refused.Response.Header.Get("Retry-After")}
	e.cause = fmt.Errorf("the token server answered %s", statusText(e.status))
	if code := refused.ErrorCode; code != "" && len(code) <= 40 && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") == "" {
		e.cause = fmt.Errorf("%w (%s)", e.cause, code)
	}
	return e
}

// Error says what the token server did.
func (e *tokenError) Error() string { return "get access token: " + e.cause.Error() }

// Unwrap gives the cause, which may be a BlockedError.
func (e *tokenError) Unwrap() error { return e.cause }

// class: a refusal will probably stand (wrong client, wrong scope), all else may pass.
func (e *tokenError) class() sinks.Class {
	switch {
	case e.status == http.StatusRequestTimeout, e.status == http.StatusTooManyRequests, e.status >= 500, e.status == 0:
		return sinks.Retry
	}
	return sinks.Limited
}

func (e *tokenError) retryAfter(limit time.Duration) time.Duration {
	if e.status != http.StatusTooManyRequests && e.status != http.StatusServiceUnavailable {
		return 0
	}
	return retryAfter(e.after, time.Now(), limit)
}
