package app

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/rules"
	"dgworker/sinks"
	"dgworker/sinks/outbox"
	"dgworker/sinks/publish"
	"dgworker/sinks/webhook"
)

// sinkSet makes the sinks of a rule set, and keeps those that a reload leaves unchanged with their connections.
type sinkSet struct {
	version  string
	publish  sinks.Sink
	webhooks map[string]madeWebhook
}

type madeWebhook struct {
	config rules.Webhook
	sink   *webhook.Sink
}

func newSinkSet(nc *nats.Conn, js jetstream.JetStream, version string) (*sinkSet, error) {
	p, err := publish.New(publish.Config{Conn: nc, JetStream: js})
	if err != nil {
		return nil, err
	}
	return &sinkSet{version: version, publish: p, webhooks: map[string]madeWebhook{}}, nil
}

// endpoints returns the endpoints of set. Call done when they are in use: it lets go of the sinks that they replace.
func (s *sinkSet) endpoints(set *rules.Set) (list []outbox.Endpoint, done func(), err error) {
	list = []outbox.Endpoint{{Name: rules.NATSEndpoint, Sink: s.publish, Concurrency: 64, Jitter: 0.2}}
	next := map[string]madeWebhook{}
	for _, w := range set.Webhooks() {
		made, ok := s.webhooks[w.Name]
		if !ok || !reflect.DeepEqual(made.config, *w) {
			sink, err := webhook.New(s.config(w))
			if err != nil {
				return nil, nil, fmt.Errorf("webhook %s: %w", w.Name, err)
			}
			made = madeWebhook{*w, sink}
		}
		next[w.Name] = made
		list = append(list, outbox.Endpoint{
			Name: w.Name, Sink: made.sink, Concurrency: w.Concurrency, Rate: w.Rate, Retry: w.Retry, Timeout: w.Timeout,
			Jitter: w.Jitter, MaxRetryAfter: w.MaxRetryAfter, Breaker: outbox.Breaker(w.Breaker),
		})
	}
	return list, func() { s.replace(next) }, nil
}

func (s *sinkSet) replace(next map[string]madeWebhook) {
	old := maps.Clone(s.webhooks)
	s.webhooks = next
	for name, made := range old {
		if next[name].sink != made.sink {
			made.sink.Close()
		}
	}
}

func (s *sinkSet) close() { s.replace(map[string]madeWebhook{}) }

func (s *sinkSet) config(w *rules.Webhook) webhook.Config {
	c := webhook.Config{
		Name: w.Name, URL: w.URL, Secrets: w.Secrets, Timeout: w.Timeout, Concurrency: w.Concurrency, Headers: w.Headers,
		CA: w.CA, ClientCert: w.ClientCert, Format: w.Format, Allow: w.Allow, Proxy: w.Proxy, UserAgent: "dgworker/" + s.version,
		ConnectTimeout: w.ConnectTimeout, TLSTimeout: w.TLSTimeout, HeaderTimeout: w.HeaderTimeout, BodyTimeout: w.BodyTimeout,
		IdleTimeout: w.IdleTimeout, StaleWithin: w.StaleWithin, MaxRetryAfter: w.MaxRetryAfter, MaxHeaderBytes: w.MaxResponseHeader,
		CaptureBytes: w.MaxResponse, DrainBytes: w.MaxDrain, LimitedAttempts: w.ClientErrorAttempts,
	}
	if o := w.OAuth2; o != nil {
		c.OAuth2 = &webhook.OAuth2{TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: o.ClientSecret, Scopes: o.Scopes}
	}
	return c
}
