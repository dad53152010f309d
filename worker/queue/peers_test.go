package queue

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestPeers(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one, two := b.open(), b.open()
	if err := one.Peers.Answer("born", func(prompt string) bool { return prompt == "held" }); err != nil {
		t.Fatal(err)
	}
	if err := one.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for prompt, want := range map[string]bool{"held": true, "let go": false} {
		if got, err := two.Peers.Holds(b.ctx, "born", prompt); got != want || err != nil {
			t.Errorf("%s: %t, %v", prompt, got, err)
		}
	}
}

// Nobody answers. That is taken for an answer only when whoever it is must have let go: AckWait after they can have been heard.
func TestPeersThatMayComeBack(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open() // with an AckWait of 1 s
	opened := q.Peers.since
	if holds, err := q.Peers.Holds(b.ctx, "gone", "p"); holds || err != nil || time.Since(opened) < time.Second {
		t.Errorf("soon after the connection was made: %t, %v after %s", holds, err, time.Since(opened))
	}
	asked := time.Now()
	if holds, err := q.Peers.Holds(b.ctx, "gone", "p"); holds || err != nil || time.Since(asked) > 500*time.Millisecond {
		t.Errorf("long after: %t, %v after %s", holds, err, time.Since(asked))
	}
	q.Peers.mu.Lock()
	q.Peers.since = time.Now().Add(time.Hour) // as young as can be
	q.Peers.mu.Unlock()
	late := b.open()
	answered := make(chan bool)
	go func() {
		holds, err := q.Peers.Holds(b.ctx, "late", "p")
		answered <- holds && err == nil
	}()
	if err := late.Peers.Answer("late", func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if !<-answered {
		t.Error("who came back was not heard")
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := q.Peers.Holds(ctx, "gone", "p"); err == nil {
		t.Error("asked on after the end")
	}
}

// One that has just lost its connection gets a moment to hang up, or to come back, before it counts as gone.
func TestNobodyAnswersIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config, _ := b.config()
	q := b.openWith(config)
	p := newPeers(&q.Config)
	p.since = time.Now().Add(-time.Hour)
	start := time.Now()
	if holds, err := p.Holds(b.ctx, "gone", "p"); holds || err != nil {
		t.Errorf("holds: %v, %v", holds, err)
	}
	if took := time.Since(start); took < askAgain {
		t.Errorf("taken over after %s", took)
	}
}

// In a cluster it gets longer than that: a beat that its consumer's leader has heard may have died with the leader.
func TestNobodyAnswersInACluster(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) {
		o.JetStream = false
		o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT}
	})
	nc, _ := b.connect()
	p := newPeers(&Config{Conn: nc, Prefix: "dgbot", AckWait: 4 * time.Second})
	p.since = time.Now().Add(-time.Hour)
	start := time.Now()
	if holds, err := p.Holds(b.ctx, "gone", "p"); holds || err != nil {
		t.Errorf("holds: %v, %v", holds, err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("taken over after %s", took)
	}
}
