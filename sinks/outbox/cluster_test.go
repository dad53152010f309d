package outbox

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
)

// startCluster starts three servers that know each other and returns the first.
func startCluster(t *testing.T) *natsServer {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		_ = l.Close()
	}
	nodes := make([]*natsServer, 3)
	var wg sync.WaitGroup
	for i := range nodes {
		nodes[i] = &natsServer{tb: t, opts: server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "outbox", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}}
		wg.Go(nodes[i].start)
	}
	wg.Wait()
	for _, n := range nodes {
		t.Cleanup(n.stop)
	}
	waitFor(t, "the cluster to have a leader", func() bool {
		for _, n := range nodes {
			if n.srv.JetStreamIsLeader() {
				return len(n.srv.JetStreamClusterPeers()) == 3
			}
		}
		return false
	})
	return nodes[0]
}

// With replicas a guard can be refused while a rival's publish is still under way, under a code of its own. Racing
// workers still store each action once, none is lost, and each is delivered and settled.
func TestRacersOnAReplicatedStream(t *testing.T) {
	t.Parallel()
	n := startCluster(t)
	js := n.dial()
	_, err := js.CreateStream(ctxOf(t), jetstream.StreamConfig{Name: "DGBOT_DEAD", Subjects: []string{"dgbot.dead.>"}, AllowDirect: true, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	replicated := func(c *Config) { c.Replicas = 3 }
	workers := []*Outbox{open(t, js, replicated), open(t, n.dial(), replicated), open(t, n.dial(), replicated)}
	const actions = 30
	var wg sync.WaitGroup
	for _, o := range workers {
		for range 3 {
			wg.Go(func() {
				for i := range actions {
					if err := o.Enqueue(ctxOf(t), delivery("refunds", fmt.Sprintf("a%d", i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for subject, n := range subjects(t, workers[0].store.actions) {
		if n != 1 {
			t.Errorf("%s was stored %d times", subject, n)
		}
	}
	sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered}}
	for _, o := range workers {
		set(t, o, fast("refunds", sink))
	}
	for i := range actions {
		item(t, workers[0], fmt.Sprintf("a%d", i), Done)
	}
	settledQueue(t, workers[0], "refunds")
	if calls := sink.calls.Load(); calls != actions {
		t.Errorf("%d attempts for %d actions", calls, actions)
	}
}
