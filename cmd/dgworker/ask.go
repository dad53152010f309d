package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/rules"
	"dgworker/worker"
	"dgworker/worker/queue"
)

type askCommand struct {
	NATS     natsFlags     `embed:""`
	Bot      string        `arg:"" help:"Name of the bot in the rules of the worker."`
	Messages []string      `arg:"" name:"message" help:"What to say; several are said one after the other."`
	Visitor  string        `help:"Visitor id: continues that visitor's session."`
	Data     string        `help:"JSON that rules see as prompt.data."`
	ID       string        `name:"id" help:"Id of the prompt; one is made without it."`
	Timeout  time.Duration `help:"After which the prompt fails."`
	JSON     bool          `name:"json" help:"Only the outcome, as JSON."`
}

// Run stores the prompt, shows what happens, and ends with its outcome. Ctrl-C leaves the prompt running.
func (c askCommand) Run(e *env) error {
	if c.ID == "" {
		c.ID = "ask-" + uuid.NewString()
	}
	return withArchives(c.NATS, func(ctx context.Context, a *archives) error {
		watched := make(chan *nats.Msg, 4096)
		names, live := queue.Names{Prefix: c.NATS.Prefix}, a.conn.NewRespInbox()
		for _, subject := range []string{live, names.Outcome("*", "*", c.ID)} {
			sub, err := a.conn.ChanSubscribe(subject, watched)
			if err != nil {
				return fmt.Errorf("watch the prompt: %w", err)
			}
			defer func() { _ = sub.Unsubscribe() }()
		}
		if err := c.send(ctx, a.js, names, live); err != nil {
			return err
		}
		return c.follow(ctx, e, a, live, watched)
	})
}

func (c askCommand) send(ctx context.Context, js jetstream.JetStream, names queue.Names, live string) error {
	fields := map[string]any{"id": c.ID, "messages": c.Messages}
	msg := &nats.Msg{Subject: names.Prompts(c.Bot), Header: nats.Header{worker.HeaderLive: {live}, worker.HeaderID: {c.ID}}}
	if c.Visitor != "" {
		fields["visitor_id"] = c.Visitor
		msg.Subject = names.Lane(c.Bot, rules.EncodeToken(c.Visitor))
	}
	if c.Timeout > 0 {
		fields["timeout"] = c.Timeout.String()
	}
	if c.Data != "" {
		if !json.Valid([]byte(c.Data)) {
			return fmt.Errorf("--data is not JSON: %s", c.Data)
		}
		fields["data"] = json.RawMessage(c.Data)
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encode prompt: %w", err)
	}
	msg.Data = data
	ack, err := js.PublishMsg(ctx, msg)
	if err != nil {
		return fmt.Errorf("store prompt: %w", err)
	}
	if ack.Duplicate {
		return fmt.Errorf("a prompt with the id %q was sent a moment ago: dgworker outcomes show %s", c.ID, c.ID)
	}
	return nil
}

// lookAgain is how often the outcome is looked for where it is stored: one that was published while the connection was
// away, or before the question, isn't heard.
const lookAgain = 2 * time.Second

// follow prints what happens until the outcome.
func (c askCommand) follow(ctx context.Context, e *env, a *archives, live string, watched <-chan *nats.Msg) error {
	t := &transcript{out: e.stdout}
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintf(e.stderr, "\nThe prompt goes on. Find it with: dgworker outcomes show %s\n", c.ID)
			return nil
		case m := <-watched:
			if m.Subject == live {
				if !c.JSON {
					t.show(m.Data)
				}
				continue
			}
			return c.end(e, t, m.Data)
		case <-look.C:
			if o, err := a.prompts.Outcome(ctx, c.ID); err == nil {
				data, err := json.Marshal(o)
				if err != nil {
					return fmt.Errorf("encode outcome: %w", err)
				}
				return c.end(e, t, data)
			}
		}
	}
}

func (c askCommand) end(e *env, t *transcript, data []byte) error {
	o := new(worker.Outcome)
	if err := json.Unmarshal(data, o); err != nil {
		return fmt.Errorf("read outcome: %w", err)
	}
	if c.JSON {
		fmt.Fprintf(e.stdout, "%s\n", data)
	} else {
		t.newline()
		fmt.Fprintf(e.stdout, "\n%s: %s", o.ID, o.Status)
		if o.Reason != "" {
			fmt.Fprintf(e.stdout, ": %s", o.Reason)
		}
		visitor := ""
		if o.VisitorID != "" {
			visitor = "visitor " + o.VisitorID + ", "
		}
		fmt.Fprintf(e.stdout, " (%s%s, %s fired)\n", visitor, count(len(o.Turns), "turn"), count(len(o.Fired), "action"))
	}
	if o.Status.Dead() {
		return errNo
	}
	return nil
}

// transcript prints a conversation as it is typed.
type transcript struct {
	out     io.Writer
	message string // id of the stream whose line is open
	open    bool
}

func (t *transcript) show(data []byte) {
	var l worker.Live
	if json.Unmarshal(data, &l) != nil {
		return
	}
	switch l.Type {
	case "visitor":
		t.line("you      " + l.Content)
	case "stream_chunk":
		t.chunk(l)
	case "stream_end":
		t.newline()
	case "tool_action":
		t.line("         [" + l.Tool + "…]")
	case "tool_action_result":
		t.line("         [" + l.Tool + ": " + l.Status + "]")
	case "handoff_offered":
		t.line("         [a person is offered: " + l.Content + "]")
	case "agent_joined":
		t.line("         [" + l.AgentName + " joined]")
	case "agent_message":
		t.line(l.AgentName + ": " + l.Content)
	case "agent_left":
		t.line("         [the person left]")
	case "fired":
		t.line("         → " + l.Rule + ": " + l.Action + " " + l.Content)
	}
}

func (t *transcript) chunk(l worker.Live) {
	if !t.open || t.message != l.MessageID {
		t.newline()
		fmt.Fprint(t.out, "bot      ")
		t.open, t.message = true, l.MessageID
	}
	fmt.Fprint(t.out, l.Content)
}

func (t *transcript) line(text string) {
	t.newline()
	fmt.Fprintln(t.out, text)
}

func (t *transcript) newline() {
	if t.open {
		fmt.Fprintln(t.out)
		t.open = false
	}
}
