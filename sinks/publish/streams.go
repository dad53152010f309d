package publish

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// streams remembers which stream holds a subject. It is small and forgetful: subjects may hold ids, and then each is
// asked for once.
type streams struct {
	js    jetstream.JetStream
	ttl   time.Duration
	limit int

	mu    sync.Mutex
	known map[string]held
}

type held struct {
	yes   bool
	until time.Time
}

// hold says whether a stream takes what is published on subject.
func (s *streams) hold(ctx context.Context, subject string) (bool, error) {
	if yes, known := s.recall(subject); known {
		return yes, nil
	}
	_, err := s.js.StreamNameBySubject(ctx, subject)
	if err != nil && !none(err) {
		return false, err
	}
	s.remember(subject, err == nil)
	return err == nil, nil
}

// none holds for the answers that mean: there is no such stream, or no JetStream at all.
func none(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

func (s *streams) recall(subject string) (yes, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, known := s.known[subject]
	return h.yes, known && time.Now().Before(h.until)
}

func (s *streams) remember(subject string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= s.limit {
		clear(s.known)
	}
	s.known[subject] = held{yes: yes, until: time.Now().Add(s.ttl)}
}

func (s *streams) forget(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, subject)
}
