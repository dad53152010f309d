package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// azureWire is the address of Azure's host agent: public by its number, and yet the machine's own metadata service.
var azureWire = netip.MustParsePrefix("168.63.129.16/32")

// BlockedError says that the guard kept the sink from connecting.
type BlockedError struct {
	Address string // as far as it was resolved: an address, or the host as it was written
	Why     string
}

// Error names the address and what to do about it.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("blocked address %s: %s", e.Address, e.Why)
}

// guard decides which addresses an endpoint may be dialled at.
type guard struct {
	allow  []netip.Prefix
	plain  bool // http: without TLS nobody proves who they are, so only what the operator named is dialled
	public *ssrf.Guardian
}

func newGuard(allow []netip.Prefix, plain bool) *guard {
	return &guard{allow: allow, plain: plain, public: ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azureWire))}
}

// control is a net.Dialer's ControlContext: it runs after DNS, once per address, just before the connection.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &BlockedError{Address: address, Why: "not an address"}
	}
	return g.check(at.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	plain := addr.Unmap()
	for _, prefix := range g.allow {
		if prefix.Contains(plain) {
			return nil
		}
	}
	if g.plain {
		return &BlockedError{Address: addr.String(), Why: "plain http is possible only towards networks named in allow"}
	}
	if g.public.SafeAddr(plain) != nil {
		return &BlockedError{Address: addr.String(), Why: "not a public address; if it is meant, name its network in allow"}
	}
	return nil
}

// checkHost refuses spellings of addresses that some resolvers take for one and others look up as a name: 127.1,
// 2130706433, 0x7f000001, 0177.0.0.1.
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x")) {
		return &BlockedError{Address: host, Why: "not a regular address; write an IPv4 address as four decimal numbers"}
	}
	return nil
}

// dialer connects behind a guard.
type dialer struct{ net.Dialer }

// newDialer takes a nil guard for what the operator's choice alone decides: the proxy.
func newDialer(cfg Config, g *guard) *dialer {
	d := &dialer{net.Dialer{Timeout: cfg.ConnectTimeout, Resolver: cfg.Resolver}}
	if g != nil {
		d.ControlContext = g.control
	}
	return d
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := checkHost(host); err != nil {
		return nil, err
	}
	c, err := d.DialContext(dialTrace(ctx), network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, address: c.RemoteAddr().String()}, nil
}

// conn knows the address that was dialled, so that no attempt has to format it.
type conn struct {
	net.Conn
	address string
}

func addressOf(c net.Conn) string {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if known, ok := c.(*conn); ok {
		return known.address
	}
	return c.RemoteAddr().String()
}

// blocked unwraps a BlockedError.
func blocked(err error) bool {
	return errors.As(err, new(*BlockedError))
}
