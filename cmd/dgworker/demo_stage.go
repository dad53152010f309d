package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
)

// stage is the demo's place on NATS: it sends the prompts, and hears the outcomes and what rules publish.
type stage struct {
	conn     *nats.Conn
	screen   *screen
	complete chan struct{} // closed when every scene has its outcome and its deliveries

	mu     sync.Mutex
	scenes []*scene
	early  map[string]string // action id -> rule's target, for those that arrive before their outcome
	done   bool
}

func openStage(url string, screen *screen, scenes []*scene) (*stage, error) {
	nc, err := nats.Connect(url, nats.Name("dgworker demo"))
	if err != nil {
		return nil, fmt.Errorf("connect the demo to NATS: %w", err)
	}
	s := &stage{conn: nc, screen: screen, scenes: scenes, early: map[string]string{}, complete: make(chan struct{})}
	_, err = nc.Subscribe("dgbot.outcomes.>", s.outcome)
	if err == nil {
		_, err = nc.Subscribe("backoffice.>", func(m *nats.Msg) {
			s.screen.published(m.Subject)
			s.delivered(m.Header.Get("ce-id"))
		})
	}
	if err == nil {
		err = nc.Flush()
	}
	return s, err
}

// send publishes the prompts, as any program would.
func (s *stage) send(ctx context.Context) error {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	for _, scene := range s.scenes {
		s.screen.prompt(scene)
		msg := &nats.Msg{Subject: "dgbot.prompts.support", Data: []byte(scene.prompt), Header: nats.Header{"Nats-Msg-Id": {scene.id}}}
		if _, err := js.PublishMsg(ctx, msg); err != nil {
			return fmt.Errorf("send prompt %s: %w", scene.id, err)
		}
	}
	return nil
}

func (s *stage) outcome(m *nats.Msg) {
	o := new(worker.Outcome)
	if err := json.Unmarshal(m.Data, o); err != nil {
		s.screen.trouble("an outcome could not be read: " + err.Error())
		return
	}
	s.screen.outcome(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, scene := range s.scenes {
		if scene.id == o.ID {
			scene.outcome = o
		}
	}
	s.settle()
}

// delivered notes that the action id has reached its receiver.
func (s *stage) delivered(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early[id] = id
	s.settle()
}

// settle gives what has arrived to the scene that it belongs to. The caller holds mu.
func (s *stage) settle() {
	complete := true
	for _, scene := range s.scenes {
		if scene.outcome != nil {
			for _, f := range outgoing(scene.outcome) {
				if s.early[f.ID] != "" {
					scene.delivered[f.ID] = true
				}
			}
		}
		complete = complete && scene.arrived()
	}
	if complete && !s.done {
		s.done = true
		close(s.complete)
	}
}

func (s *stage) close() { s.conn.Close() }
