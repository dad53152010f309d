package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"
	"go.uber.org/zap"
)

// Settings say where NATS is and who we are. All are optional; Context is an alternative to the others.
type Settings struct {
	URL         string // nats://, tls://, ws:// or wss://, several with commas
	Context     string // name of a nats CLI context, or the absolute path of its file
	Creds       string // file with a user's JWT and seed
	NKey        string // file with a seed
	User        string
	Password    string
	Token       string
	CA          string // PEM file with the roots to trust
	Cert        string // PEM file: client certificate
	Key         string // PEM file: its key
	TLSFirst    bool   // TLS before the server's INFO
	Domain      string // JetStream domain
	APIPrefix   string // JetStream API prefix, instead of a domain
	InboxPrefix string // of replies; defaults to _INBOX
}

// Connect connects as s says and keeps reconnecting for ever. name is what the server lists the connection as.
func Connect(s Settings, name string, log *zap.Logger) (*nats.Conn, jetstream.JetStream, error) {
	opts, err := s.options(name, log)
	if err != nil {
		return nil, nil, err
	}
	var nc *nats.Conn
	domain, api := s.Domain, s.APIPrefix
	if s.Context != "" {
		var ctx natscontext.Settings
		nc, ctx, err = natscontext.Connect(s.Context, opts...)
		domain, api = first(domain, ctx.JSDomain), first(api, ctx.JSAPIPrefix)
	} else {
		nc, err = nats.Connect(s.URL, opts...)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to NATS (%s): %w: %s", s.where(), err, hint(err))
	}
	js, err := open(nc, domain, api)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return nc, js, nil
}

func open(nc *nats.Conn, domain, api string) (jetstream.JetStream, error) {
	switch {
	case domain != "":
		return jetstream.NewWithDomain(nc, domain)
	case api != "":
		return jetstream.NewWithAPIPrefix(nc, api)
	}
	return jetstream.New(nc)
}

func (s Settings) options(name string, log *zap.Logger) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second), nats.Timeout(5 * time.Second), nats.PingInterval(20 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost: reconnecting", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("NATS connection is back", zap.String("server", Address(nc)))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrConnectionClosed) {
				log.Warn("NATS reports an error", zap.Error(err))
			}
		}),
	}
	if s.Creds != "" {
		opts = append(opts, nats.UserCredentials(s.Creds))
	}
	if s.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(s.NKey)
		if err != nil {
			return nil, fmt.Errorf("read nkey %s: %w", s.NKey, err)
		}
		opts = append(opts, nkey)
	}
	if s.User != "" {
		opts = append(opts, nats.UserInfo(s.User, s.Password))
	}
	if s.Token != "" {
		opts = append(opts, nats.Token(s.Token))
	}
	if s.CA != "" {
		opts = append(opts, nats.RootCAs(s.CA))
	}
	if s.Cert != "" || s.Key != "" {
		opts = append(opts, nats.ClientCert(s.Cert, s.Key))
	}
	if s.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	if s.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	return opts, nil
}

// where names the server without what a URL may hold of secrets.
func (s Settings) where() string {
	if s.Context != "" {
		return "context " + s.Context
	}
	var servers []string
	for server := range strings.SplitSeq(s.URL, ",") {
		servers = append(servers, withoutUser(strings.TrimSpace(server)))
	}
	return strings.Join(servers, ",")
}

// Address is the URL of the server that nc is connected to, without what it may hold of secrets; "" if there is none.
func Address(nc *nats.Conn) string { return withoutUser(nc.ConnectedUrl()) }

// withoutUser takes user, password and token out of a server's URL. URL.Redacted leaves a token where it is.
func withoutUser(server string) string {
	if server != "" && !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "the given address"
	}
	u.User = nil
	return u.String()
}

// hint says what to do about the mistakes that people make.
func hint(err error) string {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return "the server's certificate is not trusted; give its CA with --nats-ca"
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return "is the server running, and is --nats right? Without --nats and NATS_URL, run embeds a server of its own"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return "check --nats-creds, --nats-user or the others that say who you are"
	}
	return "check --nats and the settings of TLS and credentials"
}

// MayPass says whether err, of Connect or of a call to JetStream, tells of a server that isn't there or has no leader yet,
// which time may mend, rather than of a mistake.
func MayPass(err error) bool {
	var api *jetstream.APIError
	var network net.Error
	switch {
	case errors.As(err, &api):
		return api.Code == http.StatusServiceUnavailable && api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabled &&
			api.ErrorCode != jetstream.JSErrCodeJetStreamNotEnabledForAccount
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrDisconnected)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
