package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// reserved headers frame the message, belong to the connection, or are the sink's own. Idempotency-Key stands here
// because net/http takes it as a licence to send a POST twice by itself.
var reserved = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Http2-Settings": true,
	"Idempotency-Key": true, "X-Idempotency-Key": true, "Keep-Alive": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true,
}

var reservedPrefixes = []string{"Webhook-", "Proxy-"}

// checkHeader says why a header can't be sent. The value is never quoted: it may be a credential.
func checkHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !token(name):
		return fmt.Errorf("header %q: the name is not a valid header name", name)
	case reserved[canonical], slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(canonical, p) }):
		return fmt.Errorf("header %q: it is set by dgworker and can't be given", name)
	case !fieldValue(value):
		return fmt.Errorf("header %q: the value holds a control character (a line break, say)", name)
	}
	return nil
}

func (c Config) checkHeaders() error {
	var errs []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		canonical := http.CanonicalHeaderKey(name)
		if other, twice := seen[canonical]; twice {
			errs = append(errs, fmt.Errorf("header %q: it is given twice, also as %q", name, other))
		}
		seen[canonical] = name
		if c.OAuth2 != nil && canonical == "Authorization" {
			errs = append(errs, fmt.Errorf("header %q: oauth2 sets it; remove one of the two", name))
		}
		errs = append(errs, checkHeader(name, c.Headers[name]))
	}
	if !fieldValue(c.UserAgent) {
		errs = append(errs, errors.New("user agent: it holds a control character"))
	}
	return errors.Join(errs...)
}

// token is the syntax of a header name (RFC 9110, section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// fieldValue is the syntax of a header value, as net/http holds it: no control characters but the tab.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
