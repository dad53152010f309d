package app_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"dgworker/worker/app"
)

// A worker that is started before its NATS, or while that restarts, waits for it; who is told to end meanwhile ends.
func TestStartWaitsForNATS(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]bool{"it comes": true, "told to end": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, backOffice)
			p.write("  - {name: a, on: final_response, actions: [{publish: a.b}]}\n")
			port := freePort(t)
			p.config.NATS.URL, p.config.NATSWait = port.url, patience
			a, err := app.New(p.config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(p.ctx)
			defer cancel()
			started := make(chan error, 1)
			go func() { started <- a.Start(ctx) }()
			p.until("it says that it waits", func() bool { return p.logs.FilterMessage("NATS is not there yet: trying again").Len() == 1 })
			want := context.Canceled
			if comes {
				want = nil
				port.serve(t)
			} else {
				cancel()
			}
			if err := <-started; !errors.Is(err, want) {
				t.Errorf("start: %v, want %v", err, want)
			}
			if err := a.Stop(p.ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// port is one that nobody listens on yet.
type port struct {
	n   int
	url string
}

func freePort(t *testing.T) port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return port{l.Addr().(*net.TCPAddr).Port, "nats://" + l.Addr().String()}
}

// serve runs a NATS server there until the test ends.
func (p port) serve(t *testing.T) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: p.n, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
}
