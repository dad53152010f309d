package dgbotsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Server plays a script to visitors. It is an http.Handler, or listens itself after Start.
type Server struct {
	script     script // compiled
	keys       []string
	unknownKey int
	faults     Faults
	idle       time.Duration
	history    int
	grace      time.Duration
	onMessage  func(Message)
	onOpen     func(key, visitor string, n int)
	onClose    func(key, visitor string, n int)

	upgrader websocket.Upgrader
	ids      atomic.Int64 // of connections
	messages atomic.Int64 // ids of streams

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // handlers, answers and the listener

	mu       sync.Mutex
	closed   bool
	listener net.Listener
	http     *http.Server
	conns    map[*conn]struct{}
	sessions map[sessionID]*session
	stats    Stats
	received []Message
	overlaps []Overlap
	changed  broadcast
}

// New makes a server. It panics if the script is not valid, as regexp.MustCompile does: scripts from ParseScript are.
func New(script Script, opts ...Option) *Server {
	s := &Server{
		conns:    make(map[*conn]struct{}),
		sessions: make(map[sessionID]*session),
		upgrader: websocket.Upgrader{
			ReadBufferSize:  512,
			WriteBufferSize: 1024,
			WriteBufferPool: new(sync.Pool),
			CheckOrigin:     func(*http.Request) bool { return true }, // widgets live on other people's pages
		},
	}
	compiled, err := compile(script)
	if err != nil {
		panic("dgbotsim: " + err.Error())
	}
	s.script = compiled
	defaults(s)
	for _, o := range opts {
		o(s)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start listens on addr ("127.0.0.1:0" for any port) until Close.
func (s *Server) Start(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("start simulator: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		return errors.Join(errors.New("start simulator: it was started or closed before"), ln.Close())
	}
	s.listener = ln
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.work.Go(func() { _ = s.http.Serve(ln) }) // ends with ErrServerClosed
	return nil
}

// URL returns where clients connect, without the query: ws://host:port/ws. It is empty before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return "ws://" + s.listener.Addr().String() + "/ws"
}

// Close says goodbye on all connections (code 1001), and waits until every goroutine of the server has ended, those of
// handlers under somebody else's http.Server too. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	server := s.http
	s.mu.Unlock()

	s.cancel()
	var err error
	if server != nil {
		err = server.Close()
	}
	for _, c := range open {
		c.close(websocket.CloseGoingAway, "")
	}
	s.work.Wait()
	return err
}

// DropAll cuts all connections without a close frame, with a reset or without.
func (s *Server) DropAll(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.drop(reset)
	}
}

// begin counts a handler or an answer as work that Close waits for. It is false once the server is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Add(1)
	}
	return !s.closed
}
