package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
)

// newTransport makes the transport for one URL: the endpoint's, or its token server's. Each has a guard of its own,
// because plain http is judged by the scheme of the URL.
func newTransport(cfg Config, target *url.URL) (*http.Transport, error) {
	secure, err := newTLS(cfg)
	if err != nil {
		return nil, err
	}
	g := newGuard(cfg.Allow, target.Scheme == "http")
	t := &http.Transport{
		DialContext:            newDialer(cfg, g).dial,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    cfg.TLSTimeout,
		IdleConnTimeout:        cfg.IdleTimeout,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		MaxResponseHeaderBytes: int64(cfg.MaxHeaderBytes),
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if cfg.Proxy == "" {
		return t, nil
	}
	return t, throughProxy(t, cfg, g, target)
}

// throughProxy swaps the guarded dialer for one that reaches the proxy, wherever the operator has it, and checks of the
// target what can be checked without resolving it.
func throughProxy(t *http.Transport, cfg Config, g *guard, target *url.URL) error {
	proxy, err := url.Parse(cfg.Proxy)
	if err != nil {
		return fmt.Errorf("proxy: %w", unquoted(err))
	}
	if err := checkLiteral(g, target.Hostname()); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	t.Proxy = http.ProxyURL(proxy)
	t.DialContext = newDialer(cfg, nil).dial
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the proxy answered %s", statusText(answer.StatusCode))
		}
		return nil
	}
	return nil
}

func checkLiteral(g *guard, host string) error {
	if err := checkHost(host); err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.check(addr)
	}
	if g.plain {
		return errors.New("plain http through a proxy needs an address that is in allow as its host: a name can't be checked")
	}
	return nil
}

func newTLS(cfg Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(cfg.Concurrency)}
	if cfg.CA != "" {
		text, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("read ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read ca: %s holds no certificate in PEM form", cfg.CA)
		}
	}
	if cfg.ClientCert != "" {
		text, err := os.ReadFile(cfg.ClientCert)
		if err != nil {
			return nil, fmt.Errorf("read client_cert: %w", err)
		}
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			return nil, fmt.Errorf("read client_cert: %s needs a certificate and its key in PEM form: %w", cfg.ClientCert, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
