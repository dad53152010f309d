package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker"
	"dgworker/worker/queue"
)

// Config of the service. Conn, JetStream and Known are required.
type Config struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
	Prefix    string                // defaults to "dgbot"
	Version   string                // of the program; a leading v is taken off, and what is no semantic version is 0.0.0
	Timeout   time.Duration         // after which a request is told that there is no outcome yet; defaults to 5m
	Known     func(bot string) bool // whether the rules have the bot
	Reply     func(to string) bool  // whether answers may go there; nil allows every subject
	Log       *zap.Logger
}

// Service answers requests until Stop.
type Service struct {
	Config
	names   queue.Names
	service micro.Service
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// semver is what micro takes for a version.
var semver = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// Codes of the header Nats-Service-Error-Code.
const (
	codeInvalid = "400"
	codeUnknown = "404"
	codeTrouble = "503"
	codeTimeout = "504"
)

// Start registers the service, which answers $SRV.PING, INFO and STATS too.
func Start(c Config) (*Service, error) {
	if c.Prefix == "" {
		c.Prefix = "dgbot"
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Minute
	}
	c.Version = strings.TrimPrefix(c.Version, "v")
	if !semver.MatchString(c.Version) {
		c.Version = "0.0.0"
	}
	s := &Service{Config: c, names: queue.Names{Prefix: c.Prefix}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	service, err := micro.AddService(c.Conn, micro.Config{
		Name: "dgworker", Version: c.Version, Description: "Puts a prompt to a bot and answers with its outcome",
	})
	if err == nil {
		s.service = service
		err = service.AddEndpoint("ask", micro.HandlerFunc(s.handle), micro.WithEndpointSubject(c.Prefix+".ask.*"),
			micro.WithEndpointMetadata(map[string]string{"request": "a prompt, as on " + c.Prefix + ".prompts.<bot>", "response": "its outcome"}))
	}
	if err == nil {
		err = c.Conn.Flush() // who asks once we are ready must not hear that nobody listens
	}
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("start ask service: %w", err)
	}
	return s, nil
}

// Stop takes no more requests. Those that wait are answered by whoever ends their prompts.
func (s *Service) Stop() {
	_ = s.service.Stop() // an error means that the connection is gone, and the service with it
	s.cancel()
	s.wg.Wait()
}

// handle runs on the endpoint's only goroutine, so it hands off: hundreds at once must not queue behind each other.
func (s *Service) handle(r micro.Request) {
	s.wg.Go(func() {
		if err := s.ask(r); err != nil {
			s.Log.Warn("request could not be answered", zap.String("subject", r.Subject()), zap.Error(err))
		}
	})
}

func (s *Service) ask(r micro.Request) error {
	bot := strings.TrimPrefix(r.Subject(), s.Prefix+".ask.")
	switch {
	case !s.Known(bot):
		return r.Error(codeUnknown, fmt.Sprintf("no bot %q in the rules", bot), nil)
	case s.Reply != nil && !s.Reply(r.Reply()):
		return r.Error(codeInvalid, fmt.Sprintf("the answer can't go to %q: it is neither an inbox nor under a prefix that the operator allows (--reply-to-prefix)", r.Reply()), nil)
	}
	msg, id, wait, err := s.prompt(bot, r)
	if err != nil {
		return r.Error(codeInvalid, err.Error(), nil)
	}
	// Watched before it is stored: an outcome that comes at once must not be missed.
	settled := make(chan *nats.Msg, 1)
	sub, err := s.Conn.Subscribe(s.names.Outcome("*", "*", id), func(m *nats.Msg) {
		select {
		case settled <- m:
		default:
		}
	})
	if err != nil {
		return errors.Join(err, r.Error(codeTrouble, "NATS can't be reached, try again", nil))
	}
	defer func() { _ = sub.Unsubscribe() }()
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	if old, err := s.before(ctx, id); err != nil || old != nil {
		return errors.Join(err, answer(r, old))
	}
	ack, err := s.JetStream.PublishMsg(ctx, msg)
	if err != nil {
		return errors.Join(err, r.Error(codeTrouble, "the prompt could not be stored, try again", nil))
	}
	return s.await(r, id, settled, wait, ack.Duplicate)
}

// before returns the outcome that a prompt with that id has already, nil if it has none: then it isn't run again, and
// nobody else would answer.
func (s *Service) before(ctx context.Context, id string) ([]byte, error) {
	if strings.HasPrefix(id, madeID) {
		return nil, nil
	}
	stream, err := s.JetStream.Stream(ctx, s.names.Stream("OUTCOMES"))
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetLastMsgForSubject(ctx, s.names.Outcome("*", "*", id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return msg.Data, nil
}

// answer sends an outcome; nil is none.
func answer(r micro.Request, outcome []byte) error {
	if outcome == nil {
		return r.Error(codeTrouble, "NATS can't be reached, try again", nil)
	}
	return r.Respond(outcome)
}

// await tells the asker when there is no outcome in time. The outcome itself is sent by whoever ends the prompt, unless
// somebody else asked before under the same id: then that one is answered there, and this one here.
func (s *Service) await(r micro.Request, id string, settled <-chan *nats.Msg, wait time.Duration, again bool) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case m := <-settled:
		if again {
			return answer(r, m.Data)
		}
		return nil
	case <-s.ctx.Done():
		return nil
	case <-t.C:
		return r.Error(codeTimeout, fmt.Sprintf("no outcome of prompt %s within %s; it goes on", id, wait), nil)
	}
}

// madeID begins the ids of prompts whose request has none.
const madeID = "ask-"

// prompt makes the message of the prompt out of the request: the same payload with an id and the inbox as reply_to.
func (s *Service) prompt(bot string, r micro.Request) (*nats.Msg, string, time.Duration, error) {
	job := &worker.Job{Bot: bot, Payload: r.Data(), Headers: r.Headers(), Arrived: time.Now(), PositionID: madeID + uuid.NewString()}
	p, err := worker.ParsePrompt(job, len(r.Data())+1)
	if err != nil {
		return nil, "", 0, err
	}
	fields := map[string]any{"content": string(r.Data())}
	if strings.HasPrefix(strings.TrimLeft(string(r.Data()), " \t\r\n"), "{") {
		clear(fields)
		if err := json.Unmarshal(r.Data(), &fields); err != nil {
			return nil, "", 0, err
		}
	}
	fields["id"], fields["reply_to"] = p.ID, r.Reply()
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, "", 0, err
	}
	msg := &nats.Msg{Subject: s.names.Prompts(bot), Data: data, Header: nats.Header{}}
	if p.VisitorID != "" {
		msg.Subject = s.names.Lane(bot, rules.EncodeToken(p.VisitorID))
	}
	for name, values := range r.Headers() {
		if !strings.HasPrefix(name, "Nats-") {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(worker.HeaderID, p.ID)
	wait := s.Timeout
	if !p.Deadline.IsZero() {
		wait = min(wait, time.Until(p.Deadline)+grace)
	}
	return msg, p.ID, wait, nil
}

// grace is what an outcome may take after its prompt's deadline: the deadline itself ends in one.
const grace = 5 * time.Second
