package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // its certificate, as a PEM file
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	pair := a.issue(t, a.cert)
	a.cert, _ = x509.ParseCertificate(pair.Certificate[0])
	a.path = pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	return a
}

// issue signs template, and itself if it is the authority's own.
func (a *authority) issue(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// leaf is a server certificate for 127.0.0.1, good for an hour.
func leaf() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newTLSReceiver(t testing.TB, cfg *tls.Config) *receiver {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r.handler(nil))
	r.TLS = cfg
	r.Config.ErrorLog = quiet
	r.StartTLS()
	t.Cleanup(r.Server.Close)
	return r
}

// Case 36: whatever is wrong with TLS, the attempt fails, may be repeated, and nothing was sent.
func TestCase36TLS(t *testing.T) {
	t.Parallel()
	known, stranger := newAuthority(t), newAuthority(t)
	expired, wrongName := leaf(), leaf()
	expired.NotAfter = time.Now().Add(-time.Minute)
	wrongName.IPAddresses, wrongName.DNSNames = nil, []string{"other.example\nforged log line"}
	self := &authority{cert: leaf()}
	for name, c := range map[string]struct {
		server *tls.Config
		reason string
	}{
		"expired":               {&tls.Config{Certificates: []tls.Certificate{known.issue(t, expired)}}, "expired"},
		"self-signed":           {&tls.Config{Certificates: []tls.Certificate{self.issue(t, self.cert)}}, "unknown authority"},
		"of a stranger":         {&tls.Config{Certificates: []tls.Certificate{stranger.issue(t, leaf())}}, "unknown authority"},
		"wrong name":            {&tls.Config{Certificates: []tls.Certificate{known.issue(t, wrongName)}}, "127.0.0.1"},
		"TLS 1.0":               {&tls.Config{Certificates: []tls.Certificate{known.issue(t, leaf())}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "protocol version"},
		"TLS 1.1":               {&tls.Config{Certificates: []tls.Certificate{known.issue(t, leaf())}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
		"asks for our identity": {&tls.Config{Certificates: []tls.Certificate{known.issue(t, leaf())}, ClientAuth: tls.RequireAnyClientCert}, "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTLSReceiver(t, c.server)
			v := deliver(t, newSink(t, webhook.Config{URL: r.URL, CA: known.path}))
			expect(t, v, sinks.Retry, c.reason)
			if len(r.requests()) != 0 || strings.Contains(v.Reason, "\n") {
				t.Errorf("%d requests, reason %q", len(r.requests()), v.Reason)
			}
		})
	}
}

func TestCase36TLSStalled(t *testing.T) {
	t.Parallel()
	r := newRaw(t, "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
	s := newSink(t, webhook.Config{URL: "https://" + r.Addr().String(), TLSTimeout: short})
	v := deliver(t, s)
	expect(t, v, sinks.Retry, "TLS handshake timeout")
	if v.Address != r.Addr().String() {
		t.Errorf("address %q", v.Address)
	}
}

func TestCase36PlainTextBehindHTTPS(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	expect(t, deliver(t, newSink(t, webhook.Config{URL: strings.Replace(r.URL, "http:", "https:", 1)})), sinks.Retry, "does not look like a TLS handshake")
}

func TestOwnAuthorityAndMutualTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newTLSReceiver(t, &tls.Config{
			Certificates: []tls.Certificate{a.issue(t, leaf())}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: version,
		})
		pair := a.issue(t, leaf())
		key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		cert := pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
		expect(t, deliver(t, newSink(t, webhook.Config{URL: r.URL, CA: a.path, ClientCert: cert})), sinks.Delivered)
		if got := r.only(t); got.ProtoMajor != 1 || got.TLS.PeerCertificates[0].Subject.CommonName != "receiver" {
			t.Errorf("%s, client %v", got.Proto, got.TLS.PeerCertificates)
		}
	}
}
