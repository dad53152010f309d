package webhook_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dns is a name server that lies: each name has a list of answers, the first lookup gets the first and so on, and the
// last one stays.
type dns struct {
	conn    net.PacketConn
	mu      sync.Mutex
	answers map[string][][]string
	lookups map[string]int
}

func newDNS(t testing.TB, answers map[string][][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dns{conn: conn, answers: answers, lookups: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(d.serve)
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (d *dns) serve() {
	buf := make([]byte, 1<<12)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		d.answer(&m)
		if packed, err := m.Pack(); err == nil {
			d.conn.WriteTo(packed, from)
		}
	}
}

func (d *dns) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	addresses, known := d.next(strings.TrimSuffix(q.Name.String(), "."), q.Type)
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: true, RecursionAvailable: true}
	m.Additionals = nil
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range addresses {
		addr := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
}

// next counts a lookup at its A question, which comes along with one for AAAA in any order.
func (d *dns) next(name string, kind dnsmessage.Type) (addresses []string, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	answers, known := d.answers[name]
	if !known {
		return nil, false
	}
	addresses = answers[min(d.lookups[name], len(answers)-1)]
	if kind == dnsmessage.TypeA {
		d.lookups[name]++
	}
	return addresses, true
}
