package dgbotsim

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"
)

// act is the smallest thing that a bot does: one frame, one wait, one cut. An answer is a list of acts, so that it can be
// cut anywhere and go on from there.
type act struct {
	do    func(context.Context, *conn) error // errGone if it has to be done again on another connection; nil: nothing
	spots []Spot                             // what a fault before this act would be
	stays bool                               // it is not taken to the visitor's next connection
}

var (
	errGone    = errors.New("connection is gone")
	errSilence = errors.New("bot is silent") // the answer is over, whatever becomes of its connection
)

// composer turns the steps of one reply into acts.
type composer struct {
	expand func(string) string // the captures of the message
	newID  func() string
	scale  func(time.Duration) time.Duration
	delay  time.Duration // of chunks
	out    []act
	before []Spot // of the act to come
}

func (c *composer) steps(steps []Step) []act {
	for _, s := range steps {
		c.step(s)
	}
	c.add(nil) // carries the spots after the last step
	return c.out
}

func (c *composer) step(s Step) {
	switch {
	case s.Stream != nil:
		c.stream(*s.Stream)
	case s.Start != nil:
		c.send("type", "stream_start", "message_id", *s.Start)
	case s.Chunk != nil:
		c.send("type", "stream_chunk", "message_id", s.Chunk.ID, "content", c.expand(s.Chunk.Text))
		c.mark(MidStream)
	case s.End != nil:
		c.send("type", "stream_end", "message_id", *s.End)
	case s.Tool != nil:
		c.tool(*s.Tool)
	case s.Handoff != nil:
		c.send("type", "handoff_offered", "message", c.expand(*s.Handoff))
	case s.AgentJoined != nil:
		c.send("type", "agent_joined", "agent_name", c.expand(*s.AgentJoined))
	case s.AgentMessage != nil:
		m := s.AgentMessage
		c.send("type", "agent_message", "content", c.expand(m.Content), "agent_name", c.expand(m.Name))
	case s.AgentLeft:
		c.send("type", "agent_left")
	default:
		c.rough(s)
	}
}

// rough composes the steps that are no frames of the protocol.
func (c *composer) rough(s Step) {
	switch {
	case s.Wait > 0:
		c.wait(s.Wait)
	case s.Drop != "":
		c.add(func(_ context.Context, to *conn) error { to.drop(s.Drop == DropRST); return nil })
	case s.Close != nil:
		c.add(func(_ context.Context, to *conn) error { to.close(s.Close.Code, s.Close.Reason); return nil })
	case s.Silence:
		c.add(func(ctx context.Context, to *conn) error { to.wait(ctx); return errSilence })
		c.out[len(c.out)-1].stays = true
	case s.Garbage != "":
		c.garbage(s.Garbage)
	case s.Raw != "":
		c.text([]byte(c.expand(s.Raw)))
	}
}

func (c *composer) stream(s Stream) {
	id, chunks, delay := s.ID, s.Chunks, s.Delay
	if id == "" {
		id = c.newID()
	}
	if chunks == nil {
		chunks = words(c.expand(s.Text))
	}
	if delay == 0 {
		delay = c.delay
	}
	c.send("type", "stream_start", "message_id", id)
	for _, chunk := range chunks {
		if s.Chunks != nil {
			chunk = c.expand(chunk)
		}
		c.wait(delay)
		c.send("type", "stream_chunk", "message_id", id, "content", chunk)
		c.mark(MidStream)
	}
	c.send("type", "stream_end", "message_id", id)
}

func (c *composer) tool(t Tool) {
	status := t.Status
	if status == "" {
		status = "done"
	}
	c.mark(BeforeTool)
	c.send("type", "tool_action", "tool", t.Name, "status", "calling")
	c.wait(t.Takes)
	c.mark(DuringTool)
	c.send("type", "tool_action_result", "tool", t.Name, "status", status)
	c.mark(AfterTool)
}

func (c *composer) send(pairs ...string) { c.text(object(pairs...)) }

func (c *composer) text(frame []byte) {
	c.add(func(_ context.Context, to *conn) error { return to.send(frame) })
}

func (c *composer) wait(d time.Duration) {
	if d = c.scale(d); d > 0 {
		c.add(func(ctx context.Context, to *conn) error { return to.sleep(ctx, d) })
	}
}

// mark says what a fault at this place would hit.
func (c *composer) mark(s Spot) { c.before = append(c.before, s) }

func (c *composer) add(do func(context.Context, *conn) error) {
	c.out = append(c.out, act{do: do, spots: c.before})
	c.before = nil
}

// captures matches $$, $1 and ${name}.
var captures = regexp.MustCompile(`\$(?:\$|(\d)|\{(\w+)\})`)

// expander returns what replaces captures in a text. A $ that names no group of re stays, so that prices can be written.
func expander(re *regexp.Regexp, message string) func(string) string {
	groups := re.FindStringSubmatch(message)
	return func(text string) string {
		if !strings.Contains(text, "$") {
			return text
		}
		return captures.ReplaceAllStringFunc(text, func(ref string) string {
			if ref == "$$" {
				return "$"
			}
			i := groupIndex(re, strings.Trim(ref, "${}"))
			if i < 0 || i >= len(groups) {
				return ref
			}
			return groups[i]
		})
	}
}

func groupIndex(re *regexp.Regexp, name string) int {
	if len(name) == 1 && name[0] >= '0' && name[0] <= '9' {
		return int(name[0] - '0')
	}
	return re.SubexpIndex(name)
}
