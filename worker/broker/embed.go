package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Embed configures the server inside this process.
type Embed struct {
	Dir    string        // where JetStream keeps its files; defaults to DefaultDir
	Listen string        // host:port; defaults to 127.0.0.1:4222. Port 0 takes a free one
	Sync   time.Duration // 0 (default) syncs every write to disk before it is acknowledged; else how often
}

// DefaultDir is where an embedded server keeps its data: $XDG_DATA_HOME/dgworker, or ~/.local/share/dgworker.
func DefaultDir() string {
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "dgworker-data"
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "dgworker")
}

// Server is a NATS server in this process.
type Server struct{ server *server.Server }

// startWait bounds how long the server may take to be ready, with a large store to recover.
const startWait = 2 * time.Minute

// Start starts a server as e says and waits until it is ready.
func Start(e Embed) (*Server, error) {
	dir, listen := first(e.Dir, DefaultDir()), first(e.Listen, "127.0.0.1:4222")
	host, port, err := splitListen(listen)
	if err != nil {
		return nil, err
	}
	if err := free(listen, port); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded NATS: data directory: %w; choose another with --data-dir", err)
	}
	opts := &server.Options{
		ServerName: "dgworker-embedded", Host: host, Port: port, JetStream: true, StoreDir: dir,
		NoSigs: true, NoLog: true, DontListen: false,
		SyncAlways: e.Sync == 0, SyncInterval: e.Sync,
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS in %s: %w", dir, err)
	}
	s.Start()
	if !s.ReadyForConnections(startWait) {
		s.Shutdown()
		return nil, fmt.Errorf("start embedded NATS in %s: not ready within %s", dir, startWait)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, fmt.Errorf("start embedded NATS: JetStream could not use %s; is another dgworker running on it? Choose another --data-dir", dir)
	}
	return &Server{s}, nil
}

func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("start embedded NATS: listen address %q is not host:port", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// free finds out whether the port can be had: the server itself would only log that it can't, and go on without.
func free(listen string, port int) error {
	if port == server.RANDOM_PORT {
		return nil
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("start embedded NATS: %w; a NATS server runs there already? Then say --nats nats://%s", err, listen)
	}
	return errors.Join(l.Close())
}

// URL is where clients reach the server.
func (s *Server) URL() string { return s.server.ClientURL() }

// Stop shuts the server down and waits until its files are closed. Calling it again is safe.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
