package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Check is one line of /readyz.
type Check struct {
	Name string
	// Ask returns a remark for people, and an error when the worker is not ready.
	Ask func(context.Context) (remark string, err error)
}

// Config of the admin port.
type Config struct {
	Addr    string // host:port; anything but loopback needs Token
	Token   string // bearer token that every request must carry; "" for none
	Metrics prometheus.Gatherer
	Checks  []Check
	Log     *zap.Logger
}

// Server is the admin port.
type Server struct {
	http *http.Server
	addr net.Addr
	done chan struct{}
}

// askWait bounds how long the checks of one request may take.
const askWait = 2 * time.Second

// Start listens and serves until Stop.
func Start(c Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("open admin port: %w; choose another with --admin", err)
	}
	s := &Server{addr: l.Addr(), done: make(chan struct{})}
	s.http = &http.Server{Handler: c.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			c.Log.Error("admin port stopped", zap.Error(err))
		}
	}()
	return s, nil
}

func (c *Config) validate() error {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("open admin port: %q is not host:port", c.Addr)
	}
	if c.Token == "" && !loopback(host) {
		return fmt.Errorf("open admin port: %s is not loopback, so it needs --admin-token", c.Addr)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Addr is where the port listens.
func (s *Server) Addr() string { return s.addr.String() }

// Stop closes the port; requests under way may finish until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	<-s.done
	return err
}

func (c *Config) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	mux.Handle("/debug/pprof/", onlyLoopback(http.HandlerFunc(pprof.Index)))
	mux.Handle("/debug/pprof/profile", onlyLoopback(http.HandlerFunc(pprof.Profile)))
	mux.Handle("/debug/pprof/trace", onlyLoopback(http.HandlerFunc(pprof.Trace)))
	if c.Token == "" {
		return mux
	}
	return c.authenticated(mux)
}

func (c *Config) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(token), []byte(c.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "send the token of --admin-token as Authorization: Bearer …", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if !loopback(host) {
			http.Error(w, "profiles are for loopback only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Config) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askWait)
	defer cancel()
	var body strings.Builder
	status := http.StatusOK
	for _, check := range c.Checks {
		remark, err := check.Ask(ctx)
		mark := "ok  "
		if err != nil {
			mark, remark, status = "FAIL", err.Error(), http.StatusServiceUnavailable
		}
		fmt.Fprintf(&body, "%s %s: %s\n", mark, check.Name, remark)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, body.String())
}
