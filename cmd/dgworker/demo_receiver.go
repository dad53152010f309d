package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is what a back office would run: an HTTP server that verifies signatures with the public library.
type receiver struct {
	screen  *screen
	server  *http.Server
	addr    string
	done    chan struct{}
	arrived func(id string)

	mu      sync.Mutex
	secrets []string
}

func startReceiver(screen *screen) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the demo's webhook receiver: %w", err)
	}
	r := &receiver{screen: screen, addr: l.Addr().String(), done: make(chan struct{}), arrived: func(string) {}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(r.done)
		if err := r.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			screen.trouble("the receiver stopped: " + err.Error())
		}
	}()
	return r, nil
}

func (r *receiver) url(webhook string) string { return "http://" + r.addr + "/" + webhook }

func (r *receiver) trust(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secrets...)
}

// ServeHTTP accepts what is signed with a secret that the rules have.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil || !r.verify(body, req.Header) {
		r.screen.trouble("a webhook with a wrong signature was refused: " + req.URL.Path)
		http.Error(w, "signature does not verify", http.StatusUnauthorized)
		return
	}
	r.screen.webhook(req.Method, req.URL.Path, body)
	r.arrived(req.Header.Get("webhook-id"))
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) verify(body []byte, header http.Header) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range r.secrets {
		if wh, err := standardwebhooks.NewWebhook(secret); err == nil && wh.Verify(body, header) == nil {
			return true
		}
	}
	return false
}

func (r *receiver) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.server.Shutdown(ctx)
	<-r.done
}
