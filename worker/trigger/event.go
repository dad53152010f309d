package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// Headers that a trigger's prompt has besides its id and hops, for people who ask where it came from.
const (
	headerTrigger = "Dgworker-Trigger" // name of the trigger
	headerEvent   = "Dgworker-Event"   // subject of the event
)

// event is a message that a trigger took.
type event struct {
	subject  string
	header   nats.Header
	payload  []byte
	at       time.Time // when NATS had it
	stream   string    // that holds it, "" for none
	sequence uint64    // in that stream
}

// generation is a trigger as one version of the rules has it.
type generation struct {
	*rules.Trigger
	version string
}

// take makes of an event what the trigger says. It returns nil once that is stored, and an error only if ctx ended first:
// then the event must come again.
func (s *Service) take(ctx context.Context, t *generation, e *event) error {
	seen := rules.NewTriggerEvent(e.subject, e.header, e.payload, e.at)
	id := promptID(t.Name, seen, e)
	prompt, held, err := t.Render(seen)
	if err == nil && !held {
		s.count(t, unmet)
		return nil
	}
	hops := 0
	if err == nil {
		hops, err = hopsOf(e.header)
	}
	switch {
	case err != nil:
		return s.bury(ctx, t, e, id, failed, err.Error())
	case hops >= s.MaxHops:
		return s.bury(ctx, t, e, id, loop, fmt.Sprintf("a loop is cut: %d triggers in a row have led to this event, and at most %d may (--max-hops)", hops, s.MaxHops))
	}
	if prompt.ID == "" {
		prompt.ID = id
	}
	again, err := s.Queue.StorePrompt(ctx, s.message(t, prompt, e, hops+1))
	if errors.Is(err, worker.ErrTooLarge) {
		return s.bury(ctx, t, e, id, failed, "the prompt is larger than NATS's max_payload")
	}
	if err != nil {
		return err
	}
	result := prompted
	if again {
		result = duplicate
	}
	s.count(t, result)
	s.Log.Debug("event made a prompt", zap.String("trigger", t.Name), zap.String("subject", e.subject), zap.String("prompt", prompt.ID), zap.Bool("duplicate", again))
	return nil
}

func (s *Service) count(t *generation, result string) {
	s.events.WithLabelValues(t.Name, result).Inc()
}

// hopsOf returns how many triggers led to the event.
func hopsOf(h nats.Header) (int, error) {
	text := h.Get(worker.HeaderHops)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the header %s is %.20q, not a number", worker.HeaderHops, text)
	}
	return n, nil
}

// promptID is the id of the prompt that an event makes: the same whenever it is delivered again.
func promptID(trigger string, seen rules.TriggerEvent, e *event) string {
	key := seen.ID()
	switch {
	case key != "":
	case e.stream != "":
		key = fmt.Sprintf("at %s %d %d", e.stream, e.sequence, e.at.UnixNano())
	default:
		key = "once " + uuid.NewString()
	}
	sum := sha256.Sum256([]byte(trigger + "\x00" + key))
	return fmt.Sprintf("%.31s-%s", trigger, hex.EncodeToString(sum[:16]))
}

// payload is the form of a prompt, as package worker reads it.
type payload struct {
	ID        string          `json:"id"`
	VisitorID string          `json:"visitor_id,omitempty"`
	Messages  []string        `json:"messages"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// message is the prompt on its way. One that names a visitor goes by that visitor's lane.
func (s *Service) message(t *generation, p rules.TriggerPrompt, e *event, hops int) *nats.Msg {
	names := s.Queue.Names
	msg := nats.NewMsg(names.Prompts(t.Bot))
	if p.VisitorID != "" {
		msg.Subject = names.Lane(t.Bot, rules.EncodeToken(p.VisitorID))
	}
	msg.Header.Set(worker.HeaderID, p.ID)
	msg.Header.Set(worker.HeaderHops, strconv.Itoa(hops))
	msg.Header.Set(headerTrigger, t.Name)
	msg.Header.Set(headerEvent, e.subject)
	data, err := json.Marshal(payload(p))
	if err != nil {
		panic("encode a prompt whose data is JSON: " + err.Error())
	}
	msg.Data = data
	return msg
}

func (s *Service) bury(ctx context.Context, t *generation, e *event, id, result, reason string) error {
	dead := &queue.DeadEvent{
		ID: id, Trigger: t.Name, Bot: t.Bot, Reason: reason, Subject: e.subject, Headers: e.header,
		Stream: e.stream, Sequence: e.sequence, At: rules.Time{Time: e.at}, DiedAt: rules.Time{Time: time.Now()}, RulesVersion: t.version,
	}
	dead.SetPayload(e.payload)
	if err := s.Queue.BuryEvent(ctx, dead); err != nil {
		return err
	}
	s.count(t, result)
	s.Log.Warn("event is a dead letter", zap.String("trigger", t.Name), zap.String("event", id), zap.String("subject", e.subject), zap.String("reason", reason))
	return nil
}
