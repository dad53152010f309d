package rules

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// webhooks reads the section of that name.
func (p *parser) webhooks(e entry) {
	if isEmpty(e.value) {
		return
	}
	entries, _ := p.entries(e.value, "webhooks", e.at)
	for _, e := range entries {
		if !p.checkName(e.key, e.at, "a webhook") {
			continue
		}
		if e.key == NATSEndpoint {
			p.problem(e.at, "", "the name %q is the endpoint of publish actions: take another", e.key)
			continue
		}
		if _, twice := p.set.webhooks[e.key]; twice {
			p.problem(e.at, "", "the webhook %q is in another file already", e.key)
			continue
		}
		p.set.webhooks[e.key] = p.webhook(e)
	}
}

func isEmpty(n ast.Node) bool {
	return n == nil || n.Type() == ast.NullType
}

// address is a URL of an endpoint that is checked once `allow` is known.
type address struct {
	key string
	url *url.URL
	at  position
}

func (p *parser) webhook(e entry) *Webhook {
	w := &Webhook{
		Name: e.key, Timeout: 20 * time.Second, Concurrency: 8, Format: "standard", Tuning: defaultTuning(),
		Retry: []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour},
	}
	var addresses []address
	given := map[string]bool{}
	see := func(read func(entry)) func(entry) {
		return func(e entry) { given[e.key] = true; read(e) }
	}
	at := func(e entry) string {
		u, t, ok := p.url(e, "https", "http")
		if !ok {
			return ""
		}
		addresses = append(addresses, address{e.key, u, t.start})
		return t.value
	}
	keys := fields{
		"url":         see(func(e entry) { w.URL = at(e) }),
		"secret":      see(func(e entry) { w.Secrets = p.secrets(e) }),
		"timeout":     func(e entry) { p.duration(e, &w.Timeout, time.Millisecond, 10*time.Minute) },
		"concurrency": func(e entry) { p.number(e, &w.Concurrency, 1, 1000) },
		"rate":        func(e entry) { p.rate(e, &w.Rate) },
		"headers":     func(e entry) { w.Headers = p.headers(e) },
		"retry":       func(e entry) { p.retry(e, w) },
		"ca":          func(e entry) { p.filled(e, p.literal, &w.CA) },
		"client_cert": func(e entry) { p.filled(e, p.literal, &w.ClientCert) },
		"oauth2":      func(e entry) { w.OAuth2 = p.oauth2(e, at) },
		"format":      func(e entry) { p.oneOf(e, &w.Format, "standard", "cloudevents") },
		"allow":       func(e entry) { w.Allow = p.networks(e) },
		"proxy":       func(e entry) { p.proxy(e, w) },
		"order":       func(e entry) { p.order(e, w) },
	}
	maps.Copy(keys, p.tuning(&w.Tuning))
	ok := p.object(e.value, "webhook "+e.key, e.at, keys)
	if ok && !given["url"] {
		p.problem(e.at, "add url: https://…", "webhook %s has no url", e.key)
	}
	if ok && !given["secret"] {
		p.problem(e.at, "add secret: whsec_… (make one with: echo whsec_$(openssl rand -base64 32))",
			"webhook %s has no secret: every request is signed", e.key)
	}
	for _, a := range addresses {
		if a.url.Scheme == "http" && !allows(a.url, w.Allow) {
			p.problem(a.at, "use https, or name its network under allow, e.g. allow: [10.20.0.0/16]",
				"%s: plain http is possible only towards a network that allow names", a.key)
		}
	}
	return w
}

// secrets reads one signing secret or, while a key is being rotated, several.
func (p *parser) secrets(e entry) []string {
	entries, ok := p.oneOrList(e)
	if ok && len(entries) == 0 {
		p.problem(p.placeOr(e), "", "secret is an empty list")
	}
	var all []string
	for _, e := range entries {
		t, ok := p.secret(e)
		if !ok {
			continue
		}
		if wrong := checkSecret(t.value); wrong != "" {
			p.problem(t.start, "make one with: echo whsec_$(openssl rand -base64 32)", "secret: %s", wrong)
			continue
		}
		if slices.Contains(all, t.value) {
			p.problem(t.start, "", "secret: the same one twice")
			continue
		}
		all = append(all, t.value)
	}
	return all
}

func checkSecret(s string) string {
	encoded, ok := strings.CutPrefix(s, "whsec_")
	if !ok {
		return "a secret is whsec_ and base64 of 24 to 64 bytes; this one doesn't begin with whsec_"
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil || strings.ContainsAny(encoded, "\r\n"):
		return "what follows whsec_ is not base64"
	case len(raw) < 24:
		return "too short: it has fewer than 24 bytes"
	case len(raw) > 64:
		return "too long: it has more than 64 bytes"
	}
	return ""
}

// headers reads the static headers of an endpoint. Their values may be credentials.
func (p *parser) headers(e entry) map[string]string {
	entries, _ := p.entries(e.value, "headers", e.at)
	all := make(map[string]string, len(entries))
	for _, e := range entries {
		name := http.CanonicalHeaderKey(e.key)
		t, ok := p.secret(e)
		if wrong := checkHeader(e.key); wrong != "" {
			p.problem(e.at, "", "%s", wrong)
			continue
		}
		if _, twice := all[name]; twice {
			p.problem(e.at, "", "the header %s is here twice", name)
			continue
		}
		all[name] = t.value
		if ok && strings.Contains(t.value, "{{") {
			p.problem(t.start, "put it into the headers of a rule's action", "the headers of a webhook are literal: no {{ }} here")
			continue
		}
		if err := checkHeaderValue(t.value); ok && err != nil {
			p.problem(t.start, "", "header %s: %v", name, err)
		}
	}
	return all
}

func (p *parser) retry(e entry, w *Webhook) {
	entries, ok := p.list(e)
	if !ok {
		return
	}
	if len(entries) == 0 || len(entries) > 100 {
		p.problem(p.placeOr(e), "", "retry has 1 to 100 delays, the first attempt's included")
		return
	}
	w.Retry = make([]time.Duration, len(entries))
	for i, e := range entries {
		p.duration(e, &w.Retry[i], 0, 7*day)
	}
}

func (p *parser) oauth2(e entry, url func(entry) string) *OAuth2 {
	o := &OAuth2{}
	ok := p.object(e.value, "oauth2", e.at, fields{
		"token_url":     func(e entry) { o.TokenURL = url(e) },
		"client_id":     func(e entry) { p.filled(e, p.literal, &o.ClientID) },
		"client_secret": func(e entry) { p.filled(e, p.secret, &o.ClientSecret) },
		"scopes": func(e entry) {
			entries, _ := p.oneOrList(e)
			for _, e := range entries {
				if t, ok := p.literal(e); ok {
					o.Scopes = append(o.Scopes, t.value)
				}
			}
		},
	})
	if entries, _ := p.peek(e.value); ok {
		for _, key := range []string{"token_url", "client_id", "client_secret"} {
			if !slices.Contains(entries, key) {
				p.problem(e.at, "", "oauth2 has no %s", key)
			}
		}
	}
	return o
}

// peek returns the keys of a map without reporting anything.
func (p *parser) peek(n ast.Node) ([]string, bool) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil, false
	}
	keys := make([]string, len(m.Values))
	for i, v := range m.Values {
		keys[i] = v.Key.GetToken().Value
	}
	return keys, true
}

// networks reads addresses and networks, e.g. 10.20.0.0/16 or 192.168.1.7.
func (p *parser) networks(e entry) []netip.Prefix {
	entries, _ := p.oneOrList(e)
	var all []netip.Prefix
	for _, e := range entries {
		t, ok := p.literal(e)
		if !ok {
			continue
		}
		n, err := parseNetwork(t.value)
		if err != nil {
			p.problem(t.start, "", "allow has networks such as 10.20.0.0/16 or ::1, not %s", t.shown())
			continue
		}
		all = append(all, n)
	}
	return all
}

func parseNetwork(s string) (netip.Prefix, error) {
	if n, err := netip.ParsePrefix(s); err == nil {
		return n.Masked(), nil
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	ip = ip.Unmap().WithZone("")
	return ip.Prefix(ip.BitLen())
}

func (p *parser) proxy(e entry, w *Webhook) {
	if u, t, ok := p.url(e, "http", "https"); ok {
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
			p.problem(t.start, "", "proxy: a proxy's address is scheme, host and port")
			return
		}
		w.Proxy = t.value
	}
}
