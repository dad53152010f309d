package rules

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxURL is the longest URL that is accepted or rendered, in bytes.
const maxURL = 2 << 10

// url reads an address with one of the schemes. It must be one that every client reads the same way.
func (p *parser) url(e entry, schemes ...string) (*url.URL, text, bool) {
	t, ok := p.literal(e)
	if !ok {
		return nil, t, false
	}
	u, wrong := checkURL(t.value, schemes)
	if wrong != "" {
		p.problem(t.start, "", "%s: %s", e.key, wrong)
		return nil, t, false
	}
	return u, t, true
}

// checkURL says what is wrong with an address; "" if nothing is. What it says holds nothing of the address, which may
// come from the environment.
func checkURL(s string, schemes []string) (*url.URL, string) {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '\\' {
			return nil, `an address has no space, no control character and no \`
		}
	}
	if len(s) > maxURL {
		return nil, "an address has at most 2 KiB"
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, "this is not an address: " + urlCause(err)
	}
	port := u.Port()
	number, portErr := strconv.Atoi(port)
	switch {
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Sprintf("the address begins with %s://", strings.Join(schemes, ":// or "))
	case u.User != nil:
		return nil, "an address has no user and password in it"
	case u.Hostname() == "" || u.Opaque != "":
		return nil, "the address has no host"
	case strings.HasSuffix(u.Host, ":"), port != "" && (portErr != nil || number < 1 || number > 65535):
		return nil, "a port is from 1 to 65535"
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, "an address has no #fragment"
	}
	return u, ""
}

// urlCause is the reason of a parse error without the address itself.
func urlCause(err error) string {
	if e, ok := err.(*url.Error); ok {
		err = e.Err
	}
	message, _, _ := strings.Cut(err.Error(), " \"")
	return message
}

// allows reports whether an endpoint may be reached over plain http: its address is an allowed one, or it is a name and
// there is something allowed, which is then checked when the name is resolved.
func allows(u *url.URL, allow []netip.Prefix) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return len(allow) > 0
	}
	return slices.ContainsFunc(allow, func(n netip.Prefix) bool { return n.Contains(ip.Unmap()) })
}

// checkHeader says what is wrong with the name of a header that a webhook is to send; "" if nothing is.
func checkHeader(name string) string {
	if !isToken(name) {
		return "this is not a header's name"
	}
	switch canonical := http.CanonicalHeaderKey(name); canonical {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection", "Upgrade", "Te", "Trailer":
		return "the header " + canonical + " belongs to the transport"
	case "Idempotency-Key", "X-Idempotency-Key":
		return "the header " + canonical + " is refused: with it the HTTP client would repeat a request on its own; webhook-id is there for that"
	default:
		if strings.HasPrefix(canonical, "Webhook-") {
			return "the headers webhook-* are the signature's"
		}
	}
	return ""
}

// checkNATSHeader is checkHeader for a published message.
func checkNATSHeader(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return "this is not a header's name"
	case strings.HasPrefix(lower, "nats-"):
		return "the headers Nats-* steer the NATS server"
	case strings.HasPrefix(lower, "ce-"):
		return "the headers ce-* are set by dgworker"
	}
	return ""
}

// isToken reports whether s is a token of RFC 9110, as header names are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) || c >= 0x80 {
			return false
		}
	}
	return s != ""
}
