package webhook

import (
	"math"
	"net/http"
	"net/url"
	"strings"

	"dgworker/sinks"
)

// maxReason is the length of a reason in bytes: receivers choose what certificates and bad status lines say.
const maxReason = 512

// minRedacted is the length from which a header's value is taken for a secret; shorter ones would blank out plain words.
const minRedacted = 8

// redactor takes an endpoint's secrets out of what is logged: receivers that echo a request are common.
type redactor struct {
	replacer *strings.Replacer
	shortest int // of what it replaces: a shorter text can't hold any
}

func newRedactor(cfg Config) *redactor {
	var pairs []string
	shortest := math.MaxInt
	add := func(secret string) {
		if len(secret) >= minRedacted {
			pairs = append(pairs, secret, "[redacted]")
			shortest = min(shortest, len(secret))
		}
	}
	for _, secret := range cfg.Secrets {
		add(secret)
		add(strings.TrimPrefix(secret, secretPrefix))
	}
	for name, value := range cfg.Headers {
		if name := http.CanonicalHeaderKey(name); name != "Content-Type" && name != "Accept" {
			add(value)
		}
	}
	if cfg.OAuth2 != nil {
		add(cfg.OAuth2.ClientSecret)
		add(url.QueryEscape(cfg.OAuth2.ClientSecret))
	}
	for _, raw := range []string{cfg.URL, cfg.Proxy} {
		if u, err := url.Parse(raw); err == nil {
			add(u.RawQuery)
			password, _ := u.User.Password()
			add(password)
		}
	}
	return &redactor{replacer: strings.NewReplacer(pairs...), shortest: shortest}
}

func (r *redactor) reason(text string) string { return r.clean(text, maxReason) }

func (r *redactor) clean(text string, limit int) string {
	if len(text) >= r.shortest {
		text = r.replacer.Replace(text)
	}
	return sinks.Clean(text, limit)
}

// excerpt cleans the start of a response body; authorization is the attempt's own header.
func (r *redactor) excerpt(body string, limit int, authorization string) string {
	if body == "" {
		return ""
	}
	if _, token, _ := strings.Cut(authorization, " "); len(token) >= minRedacted {
		body = strings.ReplaceAll(body, token, "[redacted]")
	}
	return r.clean(body, limit)
}
