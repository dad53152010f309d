package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, token string, checks ...Check) *Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "dgworker_test", Help: "x"}))
	s, err := Start(Config{Addr: "127.0.0.1:0", Token: token, Metrics: reg, Checks: checks, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func get(t *testing.T, url, bearer string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	fine := Check{Name: "nats", Ask: func(context.Context) (string, error) { return "nats://a", nil }}
	bad := Check{Name: "rules", Ask: func(context.Context) (string, error) { return "", errors.New("draining") }}
	for path, c := range map[string]struct {
		checks []Check
		status int
		body   string
	}{
		"/livez":             {[]Check{bad}, 200, "ok"},
		"/readyz":            {[]Check{fine}, 200, "ok   nats: nats://a"},
		"/readyz?":           {[]Check{fine, bad}, 503, "ok   nats: nats://a\nFAIL rules: draining"},
		"/metrics":           {nil, 200, "dgworker_test 0"},
		"/debug/pprof/":      {nil, 200, "goroutine"},
		"/debug/pprof/heap?": {nil, 200, ""},
		"/":                  {nil, 404, ""},
	} {
		if status, body := get(t, "http://"+start(t, "", c.checks...).Addr()+path, ""); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %q, want %d %q", path, status, body, c.status, c.body)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	s := start(t, "the-token")
	for bearer, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer the-token-": 401, "Bearer the-token": 200} {
		for _, path := range []string{"/livez", "/readyz", "/metrics", "/debug/pprof/"} {
			if status, body := get(t, "http://"+s.Addr()+path, bearer); status != want || strings.Contains(body, "the-token") {
				t.Errorf("%s with %q: %d %s", path, bearer, status, body)
			}
		}
	}
}

func TestProfilesAreForLoopback(t *testing.T) {
	t.Parallel()
	c := Config{Metrics: prometheus.NewRegistry()}
	for addr, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "10.0.0.1:5": 403, "[::ffff:10.0.0.1]:5": 403} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/", nil)
		req.RemoteAddr = addr
		rec := httptest.NewRecorder()
		c.handler().ServeHTTP(rec, req)
		if rec.Code != want {
			t.Errorf("from %s: %d, want %d", addr, rec.Code, want)
		}
	}
}

func TestStartMistakes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for addr, want := range map[string]string{
		"8822": "host:port", ":8822": "--admin-token", "0.0.0.0:0": "--admin-token", "example.com:1": "--admin-token",
		l.Addr().String(): "choose another with --admin",
	} {
		if s, err := Start(Config{Addr: addr, Metrics: prometheus.NewRegistry(), Log: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start on %s: %v, want %q in it", addr, err, want)
			if s != nil {
				_ = s.Stop(context.Background())
			}
		}
	}
	s, err := Start(Config{Addr: "0.0.0.0:0", Token: "x", Metrics: prometheus.NewRegistry(), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
