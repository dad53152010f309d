package dgbotsim

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// mistake is a value that can't be, and where it stands: $.replies[0].steps[1].
type mistake struct{ path, problem string }

// Validate reports every value that can't be, joined, each with the path to it. ParseScript has done it already; scripts
// made in Go need it (New panics without).
func (s Script) Validate() error {
	var errs []error
	for _, m := range s.mistakes() {
		errs = append(errs, fmt.Errorf("check script: %s: %s", strings.TrimPrefix(m.path, "$."), m.problem))
	}
	return errors.Join(errs...)
}

// checker collects mistakes.
type checker struct{ found []mistake }

func (c *checker) add(path, format string, args ...any) {
	c.found = append(c.found, mistake{path, fmt.Sprintf(format, args...)})
}

func (c *checker) regexp(path, expr string) {
	if _, err := regexp.Compile(expr); err != nil {
		c.add(path, "not a regular expression: %v", err)
	}
}

func (c *checker) duration(path string, d time.Duration) {
	if d < 0 {
		c.add(path, "%s is below zero", d)
	}
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.add(path, "%q is none of: %s", value, strings.Join(allowed, ", "))
	}
}

func (s Script) mistakes() []mistake {
	var c checker
	if s.Speed < 0 {
		c.add("$.speed", "%v is below zero", s.Speed)
	}
	c.duration("$.delay", s.Delay)
	c.duration("$.resume_within", s.ResumeFor)
	if s.OnReconnect != "" {
		c.oneOf("$.on_reconnect", s.OnReconnect, Forget, Resume)
	}
	c.steps("$.greeting", s.Greeting)
	for i, r := range s.Refuse {
		c.refusal(fmt.Sprintf("$.refuse[%d]", i), r)
	}
	names := map[string]bool{"": true}
	for _, r := range s.Replies {
		names[r.Name] = true
	}
	for i, r := range s.Replies {
		path := fmt.Sprintf("$.replies[%d]", i)
		c.reply(path, r)
		if !names[r.After] {
			c.add(path+".after", "no reply has the name %q", r.After)
		}
	}
	return c.found
}

func (c *checker) refusal(path string, r Refusal) {
	c.regexp(path+".key", r.Key)
	c.regexp(path+".visitor", r.Visitor)
	c.duration(path+".retry_after", r.RetryAfter)
	if r.Status < 300 || r.Status > 599 {
		c.add(path+".status", "%d is no status that refuses: use 300 to 599", r.Status)
	}
	if r.RetryAfter%time.Second != 0 {
		c.add(path+".retry_after", "%s is not in whole seconds", r.RetryAfter)
	}
	c.times(path, r.Times)
}

func (c *checker) times(path string, n int) {
	if n < 0 {
		c.add(path+".times", "%d is below zero", n)
	}
}

func (c *checker) reply(path string, r Reply) {
	c.regexp(path+".match", r.Match)
	c.regexp(path+".key", r.Key)
	c.regexp(path+".visitor", r.Visitor)
	c.times(path, r.Times)
	if len(r.Steps) == 0 {
		c.add(path, "it has no steps: write silence for a bot that doesn't answer")
	}
	c.steps(path+".steps", r.Steps)
}

func (c *checker) steps(path string, steps []Step) {
	for i, s := range steps {
		c.step(fmt.Sprintf("%s[%d]", path, i), s)
	}
}

func (c *checker) step(path string, s Step) {
	set := 0
	for _, f := range reflect.ValueOf(s).Fields() {
		if !f.IsZero() {
			set++
		}
	}
	switch {
	case set != 1:
		c.add(path, "a step does one thing, this one %d", set)
	case s.Stream != nil:
		c.duration(path+".stream.delay", s.Stream.Delay)
		if (s.Stream.Text == "") == (s.Stream.Chunks == nil) {
			c.add(path+".stream", "a stream has either a text or chunks")
		}
	case s.Tool != nil:
		c.tool(path+".tool", *s.Tool)
	case s.Close != nil && !validClose(s.Close.Code):
		c.add(path+".close", "%d is no code that may be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999", s.Close.Code)
	case s.Close != nil && len(s.Close.Reason) > 123:
		c.add(path+".close", "the reason has %d bytes: a close frame takes 123", len(s.Close.Reason))
	case s.Drop != "":
		c.oneOf(path+".drop", s.Drop, DropRST, DropFIN)
	case s.Garbage != "":
		c.oneOf(path+".garbage", s.Garbage, GarbageText, GarbageBinary, GarbageBadJSON, GarbageUnknownType, GarbageFragments)
	default:
		c.duration(path+".wait", s.Wait)
	}
}

func (c *checker) tool(path string, t Tool) {
	c.duration(path+".takes", t.Takes)
	if t.Name == "" {
		c.add(path, "a tool has a name")
	}
	if t.Status != "" {
		c.oneOf(path+".status", t.Status, "done", "error")
	}
}

func validClose(code int) bool {
	return code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
}
