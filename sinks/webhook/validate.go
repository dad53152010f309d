package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// validate reports every mistake of a Config, not the first alone.
func (c Config) validate() error {
	return errors.Join(
		c.checkURL("url", c.URL),
		c.checkOAuth2(),
		c.checkFormat(),
		c.checkProxy(),
		c.checkHeaders(),
		c.checkNumbers(),
	)
}

// checkURL never quotes the URL: its query may hold a token.
func (c Config) checkURL(field, raw string) error {
	u, err := parseURL(raw)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", field, err)
	case u.Scheme == "http" && len(c.Allow) == 0:
		return fmt.Errorf("%s: plain http is possible only towards networks named in allow; use https", field)
	case c.Proxy != "" && !printableASCII(u.Hostname()):
		return fmt.Errorf("%s: behind a proxy, write the host in its ASCII form (xn--…)", field)
	}
	return nil
}

// parseURL accepts what a request can be sent to and nothing that two parsers could read differently.
func parseURL(raw string) (*url.URL, error) {
	if strings.ContainsAny(raw, "\\ \t\r\n") {
		return nil, errors.New("it holds white space or a backslash; escape it as %20 or %5C")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, unquoted(err)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the scheme %q is not supported; it must be https", u.Scheme)
	case u.User != nil:
		return nil, errors.New("it holds a user name; use headers or oauth2 for credentials")
	case u.Hostname() == "":
		return nil, errors.New("the host is empty; write https://host/path")
	case strings.ContainsAny(u.Host, "{}$%") && !strings.HasPrefix(u.Host, "["):
		return nil, errors.New("the host must be literal, without a placeholder")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return nil, errors.New("it holds a #fragment, which is never sent")
	}
	return u, checkPort(u)
}

func checkPort(u *url.URL) error {
	port := u.Port()
	if port == "" && !strings.HasSuffix(u.Host, ":") {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port %q is not between 1 and 65535", port)
	}
	return nil
}

// unquoted drops the URL that url.Error repeats.
func unquoted(err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

func (c Config) checkOAuth2() error {
	if c.OAuth2 == nil {
		return nil
	}
	var missing error
	if c.OAuth2.ClientID == "" || c.OAuth2.ClientSecret == "" {
		missing = errors.New("oauth2: client_id and client_secret are both needed")
	}
	return errors.Join(c.checkURL("oauth2: token_url", c.OAuth2.TokenURL), missing)
}

func (c Config) checkFormat() error {
	if c.Format != FormatStandard && c.Format != FormatCloudEvents {
		return fmt.Errorf("format: %q is not known; it is %s or %s", c.Format, FormatStandard, FormatCloudEvents)
	}
	return nil
}

func (c Config) checkProxy() error {
	if c.Proxy == "" {
		return nil
	}
	u, err := url.Parse(c.Proxy)
	if err != nil {
		return fmt.Errorf("proxy: %w", unquoted(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("proxy: it must be http://host:port or https://host:port")
	}
	return checkPort(u)
}

func (c Config) checkNumbers() error {
	for _, n := range []int64{
		int64(c.Timeout), int64(c.ConnectTimeout), int64(c.TLSTimeout), int64(c.HeaderTimeout), int64(c.BodyTimeout),
		int64(c.IdleTimeout), int64(c.StaleWithin), int64(c.MaxRetryAfter), int64(c.Concurrency),
		int64(c.MaxHeaderBytes), int64(c.CaptureBytes), int64(c.DrainBytes), int64(c.LimitedAttempts),
	} {
		if n < 0 {
			return errors.New("a limit is negative; leave it out for its default")
		}
	}
	return nil
}
