package webhook

import (
	"net"
	"net/netip"
	"time"
)

// The bodies that an endpoint can ask for. The rules render them; the sink names them in Content-Type.
const (
	FormatStandard    = "standard"    // {"type","timestamp","data"}: application/json
	FormatCloudEvents = "cloudevents" // a structured CloudEvent: application/cloudevents+json
)

// Config is one endpoint. Name, URL and Secrets are required; a zero in any other field means its default.
type Config struct {
	Name      string            // for error messages
	URL       string            // https; http only where Allow is set. No user info, no fragment
	Secrets   []string          // whsec_ and base64 of 24 to 64 bytes; all sign, the first one first
	Headers   map[string]string // sent with every request. Defaults to none
	Format    string            // FormatStandard or FormatCloudEvents. Defaults to FormatStandard
	UserAgent string            // Defaults to "dgworker"; the process sets dgworker/<version>

	CA         string         // path of a PEM file with the only roots to trust. Defaults to the system's
	ClientCert string         // path of a PEM file with certificate and key, for mutual TLS. Defaults to none
	OAuth2     *OAuth2        // client credentials: adds an Authorization header. Defaults to none
	Allow      []netip.Prefix // networks that are private and yet meant. Defaults to none
	Proxy      string         // http or https URL of a proxy. Defaults to none; the environment is ignored
	Resolver   *net.Resolver  // Defaults to the system's

	Concurrency     int           // idle connections kept; the attempts at once. Defaults to 8
	Timeout         time.Duration // an attempt in all. Defaults to 20s
	ConnectTimeout  time.Duration // DNS and TCP. Defaults to 5s
	TLSTimeout      time.Duration // the TLS handshake. Defaults to 5s
	HeaderTimeout   time.Duration // from the connection to the last byte of the response headers, sending included. Defaults to 15s
	BodyTimeout     time.Duration // the response body, after its status. Defaults to 2s
	IdleTimeout     time.Duration // how long an unused connection is kept. Defaults to 30s
	StaleWithin     time.Duration // a kept connection that closes within this without an answer was stale. Defaults to 1s
	MaxRetryAfter   time.Duration // a longer Retry-After is cut to this. Defaults to 24h
	MaxHeaderBytes  int           // response headers, all 1xx included. Defaults to 64 KiB
	CaptureBytes    int           // of the response body, kept as the verdict's excerpt. Defaults to 16 KiB
	DrainBytes      int           // of the response body, read so that the connection can be kept. Defaults to 64 KiB
	LimitedAttempts int           // Verdict.MaxAttempts after a 4xx that will probably not pass. Defaults to 3
}

// OAuth2 is a client-credentials grant (RFC 6749, section 4.4).
type OAuth2 struct {
	TokenURL     string // checked like Config.URL
	ClientID     string
	ClientSecret string
	Scopes       []string // Defaults to none
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	text(&c.Format, FormatStandard)
	text(&c.UserAgent, "dgworker")
	number(&c.Concurrency, 8)
	number(&c.Timeout, 20*time.Second)
	number(&c.ConnectTimeout, 5*time.Second)
	number(&c.TLSTimeout, 5*time.Second)
	number(&c.HeaderTimeout, 15*time.Second)
	number(&c.BodyTimeout, 2*time.Second)
	number(&c.IdleTimeout, 30*time.Second)
	number(&c.StaleWithin, time.Second)
	number(&c.MaxRetryAfter, 24*time.Hour)
	number(&c.MaxHeaderBytes, 64<<10)
	number(&c.CaptureBytes, 16<<10)
	number(&c.DrainBytes, 64<<10)
	number(&c.LimitedAttempts, 3)
	return c
}

func text(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func number[N int | time.Duration](field *N, value N) {
	if *field == 0 {
		*field = value
	}
}
