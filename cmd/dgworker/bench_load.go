package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker/dgbot/dgbotsim"
)

// patient lets a publish wait while many others are not stored yet: NATS syncs each to disk, and that takes what it takes.
var patient = jetstream.WithStallWait(time.Minute)

// played is what became of some prompts.
type played struct {
	took      time.Duration
	latencies []time.Duration
	completed int
}

// play puts n prompts to the bot, so many at once, and waits for their outcomes.
func (s *benchStage) play(ctx context.Context, n, atOnce int) (*played, error) {
	s.rounds++
	prefix := fmt.Sprintf("b%d-", s.rounds)
	p, done := &played{}, make(chan struct{})
	var mu sync.Mutex
	sent := make(map[string]time.Time, n)
	slots := make(chan struct{}, atOnce)
	sub, err := s.conn.Subscribe("dgbot.outcomes.>", func(m *nats.Msg) {
		tokens := strings.Split(m.Subject, ".")
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		at, ours := sent[tokens[4]]
		if !ours {
			return
		}
		p.latencies = append(p.latencies, now.Sub(at))
		if tokens[3] == "completed" {
			p.completed++
		}
		<-slots
		if len(p.latencies) == n {
			close(done)
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	began := time.Now()
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil, errors.New("not in time: the outcomes")
		}
		id := prefix + strconv.Itoa(i)
		mu.Lock()
		sent[id] = time.Now()
		mu.Unlock()
		if _, err := s.js.PublishAsync("dgbot.prompts.bench", fmt.Appendf(nil, `{"id":%q,"content":"Where is it?","data":{"amount":50}}`, id), patient); err != nil {
			return nil, fmt.Errorf("publish a prompt: %w", err)
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, errors.New("not in time: the outcomes")
	}
	p.took = time.Since(began)
	return p, nil
}

// hold opens n conversations more and returns what the worker uses while they are open.
func (s *benchStage) hold(ctx context.Context, n int) (usage, error) {
	open := s.sim.Stats().Open
	for i := range n {
		data, err := json.Marshal(map[string]string{"id": "hold-" + strconv.Itoa(i), "content": "hold"})
		if err != nil {
			return usage{}, err
		}
		if _, err := s.js.PublishAsync("dgbot.prompts.bench", data, patient); err != nil {
			return usage{}, fmt.Errorf("publish a prompt: %w", err)
		}
	}
	if err := s.sim.Await(ctx, func(st dgbotsim.Stats) bool { return st.Open >= open+n }); err != nil {
		return usage{}, fmt.Errorf("open %d conversations: %w", n, err)
	}
	return s.usage(ctx)
}

// usage is what the worker has used so far, by its own metrics.
type usage struct{ cpu, memory float64 }

func (s *benchStage) usage(ctx context.Context) (u usage, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/metrics", nil)
	if err != nil {
		return u, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, fmt.Errorf("read the worker's metrics: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "process_cpu_seconds_total":
			u.cpu, err = strconv.ParseFloat(value, 64)
		case "process_resident_memory_bytes":
			u.memory, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return u, fmt.Errorf("read the worker's metrics: %w", err)
		}
	}
	return u, nil
}
