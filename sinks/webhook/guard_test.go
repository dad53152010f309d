package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

// Cases 15 to 21: an address in the URL, however it is spelled, is blocked: no connection, no retry, and
// no question to DNS either.
func TestCases15To21LiteralAddresses(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{
		"15 loopback":                "127.0.0.1",
		"15 loopback, other":         "127.8.8.8",
		"15 IPv6 loopback":           "[::1]",
		"15 unspecified":             "0.0.0.0",
		"15 IPv6 unspecified":        "[::]",
		"15 private":                 "10.1.2.3",
		"15 private 172":             "172.31.0.1",
		"15 private 192":             "192.168.1.1",
		"15 shared":                  "100.64.0.1",
		"15 multicast":               "224.0.0.1",
		"15 broadcast":               "255.255.255.255",
		"15 unique local":            "[fd00:ec2::254]",
		"15 IPv6 link local":         "[fe80::1]",
		"16 short":                   "127.1",
		"16 decimal":                 "2130706433",
		"16 hex":                     "0x7f000001",
		"16 hex, upper case":         "0X7F000001",
		"16 octal":                   "0177.0.0.1",
		"16 hex parts":               "0x7f.0.0.0x1",
		"16 with a dot":              "127.0.0.1.",
		"17 metadata":                "169.254.169.254",
		"17 Azure":                   "168.63.129.16",
		"18 mapped":                  "[::ffff:10.0.0.1]",
		"18 mapped loopback":         "[::ffff:7f00:1]",
		"18 mapped Azure":            "[::ffff:168.63.129.16]",
		"19 NAT64":                   "[64:ff9b::7f00:1]",
		"19 local NAT64":             "[64:ff9b:1::a00:1]",
		"19 6to4":                    "[2002:7f00:1::]",
		"19 Teredo":                  "[2001:0:7f00:1::]",
		"19 compatible":              "[::127.0.0.1]",
		"20 zone":                    "[fe80::1%25lo]",
		"20 zone on a public one":    "[2606:4700::1111%25lo]",
		"21 full-width digits":       "１２７.０.０.１",
		"21 full-width dots":         "127。0。0。1",
		"21 circled digits":          "①②⑦.⓪.⓪.①",
		"21 full-width, one number":  "２１３０７０６４３３",
		"21 full-width hexadecimals": "０ｘ７ｆ０００００１",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSink(t, webhook.Config{URL: "https://" + host + "/", Allow: []netip.Prefix{}, Resolver: unasked(t)})
			v := deliver(t, s)
			expect(t, v, sinks.Permanent, "blocked address")
			if v.Address != "" || v.MaxAttempts != 0 {
				t.Errorf("verdict %+v", v)
			}
		})
	}
}

func unasked(t *testing.T) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("DNS was asked")
		return nil, errors.New("no DNS here")
	}}
}

// twoAddresses listens on one port of two loopback addresses: the first one stands for an allowed address and the second
// for a private one.
func twoAddresses(t *testing.T) (allowed, private *raw, port string) {
	t.Helper()
	ok := func(conn net.Conn) {
		if readRequest(conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
		conn.Close()
	}
	allowed = newRaw(t, "127.0.0.1:0", ok)
	_, port, _ = net.SplitHostPort(allowed.Addr().String())
	return allowed, newRaw(t, "127.0.0.2:"+port, ok), port
}

func TestCase22NameOfAPrivateAddress(t *testing.T) {
	t.Parallel()
	_, private, port := twoAddresses(t)
	resolver := newDNS(t, map[string][][]string{"evil.example": {{"127.0.0.2"}}})
	for _, scheme := range []string{"http", "https"} {
		s := newSink(t, webhook.Config{URL: scheme + "://evil.example:" + port, Resolver: resolver})
		expect(t, deliver(t, s), sinks.Permanent, "blocked address 127.0.0.2")
	}
	if n := private.accepted(); n != 0 {
		t.Errorf("%d connections to the private address", n)
	}
}

func TestCase23Rebinding(t *testing.T) {
	t.Parallel()
	allowed, private, port := twoAddresses(t)
	s := newSink(t, webhook.Config{
		URL:      "http://rebind.example:" + port,
		Resolver: newDNS(t, map[string][][]string{"rebind.example": {{"127.0.0.1"}, {"127.0.0.2"}}}),
	})
	expect(t, deliver(t, s), sinks.Delivered)
	expect(t, deliver(t, s), sinks.Permanent, "blocked address 127.0.0.2")
	if allowed.accepted() != 1 || private.accepted() != 0 {
		t.Errorf("%d connections to the allowed address and %d to the private one, want 1 and 0", allowed.accepted(), private.accepted())
	}
}

func TestCase24MixedAnswers(t *testing.T) {
	t.Parallel()
	allowed, private, port := twoAddresses(t)
	for i, order := range [][]string{{"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "127.0.0.2"}, {"::1", "127.0.0.2", "127.0.0.1"}} {
		s := newSink(t, webhook.Config{
			URL:      "http://mixed.example:" + port,
			Resolver: newDNS(t, map[string][][]string{"mixed.example": {order}}),
		})
		v := deliver(t, s)
		expect(t, v, sinks.Delivered)
		if v.Address != "127.0.0.1:"+port || allowed.accepted() != i+1 || private.accepted() != 0 {
			t.Errorf("%v: dialled %s; %d connections to the allowed address and %d to the private one",
				order, v.Address, allowed.accepted(), private.accepted())
		}
	}
}

// Where the allowed address of a mixed answer is down, that is what counts: it may come back.
func TestCase24MixedAnswersAllowedOneDown(t *testing.T) {
	t.Parallel()
	_, private, port := twoAddresses(t)
	for _, order := range [][]string{{"127.0.0.2", "127.0.0.3"}, {"127.0.0.3", "127.0.0.2"}} {
		s := newSink(t, webhook.Config{
			URL: "http://mixed.example:" + port, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")},
			Resolver: newDNS(t, map[string][][]string{"mixed.example": {order}}),
		})
		v := deliver(t, s)
		expect(t, v, sinks.Retry, "connection refused")
		if v.Address != "127.0.0.3:"+port || private.accepted() != 0 {
			t.Errorf("verdict %+v", v)
		}
	}
}

// Case 25: TestMain sets the proxy variables for every test of this package; here a name is used, because net/http
// never takes a proxy for loopback addresses.
func TestCase25ProxyVariablesAreIgnored(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	resolver := newDNS(t, map[string][][]string{"receiver.example": {{"127.0.0.1"}}})
	expect(t, deliver(t, newSink(t, webhook.Config{URL: "http://receiver.example:" + port, Resolver: resolver})), sinks.Delivered)
	r.only(t)
	if n := proxyHits.Load(); n != 0 {
		t.Errorf("%d connections to the proxy", n)
	}
}

func TestCase26PrivateTokenURL(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	token := newRaw(t, "127.0.0.2:0", func(conn net.Conn) { conn.Close() })
	for _, scheme := range []string{"http", "https"} {
		s := newSink(t, webhook.Config{URL: r.URL, OAuth2: &webhook.OAuth2{
			TokenURL: scheme + "://" + token.Addr().String() + "/token?a=b", ClientID: "id", ClientSecret: "client-secret",
		}})
		expect(t, deliver(t, s), sinks.Permanent, "get access token", "blocked address 127.0.0.2")
	}
	if token.accepted() != 0 || len(r.requests()) != 0 {
		t.Errorf("%d connections to the token server, %d requests", token.accepted(), len(r.requests()))
	}
}

// Allow opens what it names and nothing else, in every spelling of an address.
func TestAllow(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	expect(t, deliver(t, newSink(t, webhook.Config{URL: "http://[::ffff:127.0.0.1]:" + port})), sinks.Delivered)
	other := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.URL, Allow: other})), sinks.Permanent, "plain http is possible only towards networks named in allow")
	// A public address is no place for plain http, whoever else is allowed.
	expect(t, deliver(t, newSink(t, webhook.Config{URL: "http://93.184.215.14", Allow: other})), sinks.Permanent, "plain http")
}

// A configured proxy is dialled wherever it is, and is told the target by name.
func TestProxy(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	proxy := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		asked <- req.Method + " " + req.RequestURI
		w.WriteHeader(502)
	})
	at := strings.Replace(proxy.URL, "http://", "http://user:proxy-password@", 1)
	s := newSink(t, webhook.Config{URL: "https://receiver.example/hooks?a=b", Proxy: at, Allow: []netip.Prefix{}})
	v := deliver(t, s)
	expect(t, v, sinks.Retry, "the proxy answered 502 Bad Gateway")
	if got := <-asked; got != "CONNECT receiver.example:443" || v.Address != proxy.Listener.Addr().String() || strings.Contains(fmt.Sprint(v), "proxy-password") {
		t.Errorf("the proxy was asked %q; verdict %+v", got, v)
	}
	mapped := webhook.Config{URL: "https://[::ffff:127.0.0.1]", Proxy: at, Secrets: []string{secret}, Allow: loopback}
	if _, err := webhook.New(mapped); err != nil {
		t.Errorf("an allowed address is refused behind a proxy: %v", err)
	}
	for _, url := range []string{"https://10.0.0.1", "https://2130706433", "https://[::ffff:127.0.0.1]", "https://１２７.０.０.１"} {
		if _, err := webhook.New(webhook.Config{URL: url, Proxy: at, Secrets: []string{secret}}); err == nil {
			t.Errorf("%s is accepted behind a proxy", url)
		}
	}
}
