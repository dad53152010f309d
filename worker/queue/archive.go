package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/rules"
	"dgworker/worker"
)

// ErrNotFound says that there is no such outcome, dead letter or version.
var ErrNotFound = errors.New("not found")

// Archive reads what has become of prompts, and runs dead ones again. It needs no running worker: the command line uses it
// against a worker's NATS.
type Archive struct {
	names    Names
	js       jetstream.JetStream
	outcomes jetstream.Stream
	dead     jetstream.Stream
}

// OpenArchive opens the streams that a worker with this prefix has made.
func OpenArchive(ctx context.Context, js jetstream.JetStream, prefix string) (*Archive, error) {
	a := &Archive{names: Names{prefix}, js: js}
	for what, into := range map[string]*jetstream.Stream{"OUTCOMES": &a.outcomes, "DEAD": &a.dead} {
		stream, err := js.Stream(ctx, a.names.Stream(what))
		if err != nil {
			return nil, fmt.Errorf("open stream %s, which a worker creates (is --prefix right?): %w", a.names.Stream(what), err)
		}
		*into = stream
	}
	return a, nil
}

// Filter selects outcomes. Empty fields select all.
type Filter struct {
	Bot    string
	Status string
	Rule   string // that fired
	Prompt string // id
	Since  time.Time
}

// Match says whether f selects o.
func (f Filter) Match(o *worker.Outcome) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	if !is(f.Bot, o.Bot) || !is(f.Status, string(o.Status)) || !is(f.Prompt, o.ID) || o.EndedAt.Before(f.Since) {
		return false
	}
	for _, fired := range o.Fired {
		if is(f.Rule, fired.Rule) {
			return true
		}
	}
	return f.Rule == ""
}

// Outcomes yields the outcomes that f selects, oldest first. What comes in meanwhile is left out.
func (a *Archive) Outcomes(ctx context.Context, f Filter) iter.Seq2[*worker.Outcome, error] {
	return a.scan(ctx, a.outcomes, a.names.Outcome(star(f.Bot), star(f.Status), "*"), f)
}

// Dead yields the dead prompts that f selects, oldest first.
func (a *Archive) Dead(ctx context.Context, f Filter) iter.Seq2[*worker.Outcome, error] {
	return a.scan(ctx, a.dead, a.names.Prefix+".dead.prompts."+star(f.Bot)+".*", f)
}

func star(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

func (a *Archive) scan(ctx context.Context, stream jetstream.Stream, subject string, f Filter) iter.Seq2[*worker.Outcome, error] {
	return func(yield func(*worker.Outcome, error) bool) {
		info, err := stream.Info(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("read stream: %w", err))
			return
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			o := new(worker.Outcome)
			if err == nil {
				seq, err = msg.Sequence, json.Unmarshal(msg.Data, o)
			}
			if err != nil {
				yield(nil, fmt.Errorf("read outcome: %w", err))
				return
			}
			if seq <= info.State.LastSeq && f.Match(o) && !yield(o, nil) {
				return
			}
		}
	}
}

// Outcome returns the outcome of a prompt.
func (a *Archive) Outcome(ctx context.Context, prompt string) (*worker.Outcome, error) {
	o, _, err := a.last(ctx, a.outcomes, a.names.Outcome("*", "*", prompt), prompt)
	return o, err
}

// DeadPrompt returns the dead letter of a prompt.
func (a *Archive) DeadPrompt(ctx context.Context, prompt string) (*worker.Outcome, error) {
	o, _, err := a.last(ctx, a.dead, a.names.DeadPrompt("*", prompt), prompt)
	return o, err
}

func (a *Archive) last(ctx context.Context, stream jetstream.Stream, subject, prompt string) (*worker.Outcome, *jetstream.RawStreamMsg, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, fmt.Errorf("prompt %q: %w", prompt, ErrNotFound)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for prompt %q: %w", prompt, err)
	}
	o := new(worker.Outcome)
	if err := json.Unmarshal(msg.Data, o); err != nil {
		return nil, nil, fmt.Errorf("read outcome of prompt %q: %w", prompt, err)
	}
	return o, msg, nil
}

// RetryPrompt runs a dead prompt again under a new id, which it returns, and removes the dead letter once the new prompt
// is stored. The new id follows from the dead letter, so a retry that was cut off can be repeated: the second copy is
// refused, or finds the first one's outcome.
func (a *Archive) RetryPrompt(ctx context.Context, prompt string) (string, error) {
	o, letter, err := a.last(ctx, a.dead, a.names.DeadPrompt("*", prompt), prompt)
	if err != nil {
		return "", fmt.Errorf("retry dead prompt: %w", err)
	}
	id := retryID(o.ID, letter.Sequence)
	if _, err := a.js.PublishMsg(ctx, a.again(o, id)); err != nil {
		return "", fmt.Errorf("retry dead prompt %q: %w", prompt, err)
	}
	return id, a.drop(ctx, letter)
}

// DropPrompt removes the dead letter of a prompt. Its outcome stays.
func (a *Archive) DropPrompt(ctx context.Context, prompt string) error {
	_, letter, err := a.last(ctx, a.dead, a.names.DeadPrompt("*", prompt), prompt)
	if err == nil {
		err = a.drop(ctx, letter)
	}
	if err != nil {
		return fmt.Errorf("drop dead prompt: %w", err)
	}
	return nil
}

func (a *Archive) drop(ctx context.Context, letter *jetstream.RawStreamMsg) error {
	err := a.dead.DeleteMsg(ctx, letter.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // somebody else was faster
	}
	return err
}

// again makes the message of a prompt that is run again.
func (a *Archive) again(o *worker.Outcome, id string) *nats.Msg {
	msg := nats.NewMsg(a.names.Prompts(o.Bot))
	if o.Prompt.Lane != "" {
		msg.Subject = a.names.Lane(o.Bot, o.Prompt.Lane)
	}
	for name, value := range o.Prompt.Headers {
		if !strings.HasPrefix(name, "Nats-") {
			msg.Header.Set(name, value)
		}
	}
	msg.Header.Set(worker.HeaderID, id)
	msg.Header.Set(worker.HeaderRetryOf, o.ID)
	msg.Data = payloadAgain(o, id)
	return msg
}

func payloadAgain(o *worker.Outcome, id string) []byte {
	fields := map[string]any{}
	if o.Prompt.Payload != "" {
		d := json.NewDecoder(strings.NewReader(o.Prompt.Payload))
		d.UseNumber() // an order number is asked about again to the digit
		if d.Decode(&fields) != nil || fields == nil {
			return []byte(o.Prompt.Payload) // not JSON then, and not JSON now
		}
		fields["id"] = id
	} else {
		fields = map[string]any{"id": id, "content": o.Prompt.Content}
		if len(o.Prompt.Messages) > 0 {
			delete(fields, "content")
			fields["messages"] = o.Prompt.Messages
		}
		if o.Prompt.VisitorID != "" {
			fields["visitor_id"] = o.Prompt.VisitorID
		}
		if o.Prompt.Data != nil {
			fields["data"] = o.Prompt.Data
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		panic("encode a prompt that was decoded: " + err.Error())
	}
	return data
}

// retryID is the id of a prompt that is run again: the old one and the dead letter's sequence, short enough to be one.
func retryID(id string, letter uint64) string {
	suffix := fmt.Sprintf("-retry%d", letter)
	if len(id)+len(suffix) > 64 {
		id = rules.ActionID(id, "retry", 0, 0)
	}
	return id + suffix
}

// Versions yields the rule sets that workers have used.
func (a *Archive) Versions(ctx context.Context) ([]RuleVersion, error) {
	kv, err := a.js.KeyValue(ctx, a.names.Stream("RULES"))
	if err != nil {
		return nil, fmt.Errorf("open rule versions: %w", err)
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list rule versions: %w", err)
	}
	var all []RuleVersion
	for key := range keys.Keys() {
		v, err := readVersion(ctx, kv, key)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Version returns the rule set of that version.
func (a *Archive) Version(ctx context.Context, version string) (RuleVersion, error) {
	kv, err := a.js.KeyValue(ctx, a.names.Stream("RULES"))
	if err != nil {
		return RuleVersion{}, fmt.Errorf("open rule versions: %w", err)
	}
	return readVersion(ctx, kv, version)
}
