package e2e

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy passes TCP connections through to a server. It cuts them all when it is told to, or holds back all that is sent, as
// a network does that has lost its way.
type proxy struct {
	listener net.Listener
	target   string
	latency  time.Duration // of what passes, each way; set before the first connection
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	open     chan struct{} // closed while everything passes
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}, open: make(chan struct{})}
	close(p.open)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.unblock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(in) })
	}
}

func (p *proxy) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	p.hold(in, out)
	defer p.letGo(in, out)
	p.wg.Go(func() { p.pass(in, out) })
	p.pass(out, in)
}

// chunk is what was read at once, and when it may arrive.
type chunk struct {
	data []byte
	due  time.Time
}

// pass copies what it reads, and closes both ends when there is no more. INFO is passed without the addresses of other
// servers, so that clients stay with the proxy.
func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	chunks := make(chan chunk, 64)
	p.wg.Go(func() {
		defer close(chunks)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			chunks <- chunk{bytes.ReplaceAll(buf[:n], []byte(`"connect_urls"`), []byte(`"connect_none"`)), time.Now().Add(p.latency)}
		}
	})
	for c := range chunks {
		if p.latency > 0 {
			pause(context.Background(), time.Until(c.due))
		}
		<-p.passage()
		if _, err := to.Write(c.data); err != nil {
			from.Close() // ends the reading
		}
	}
	from.Close()
}

func (p *proxy) hold(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

func (p *proxy) letGo(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// block holds back everything, both ways, until unblock. Nobody is told.
func (p *proxy) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *proxy) unblock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

func (p *proxy) passage() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}
