package publish

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"dgworker/sinks"
)

// ceTime is RFC 3339 with milliseconds, as in everything that dgworker writes.
const ceTime = "2006-01-02T15:04:05.000Z07:00"

// check refuses what can never be published: the rules have rendered and escaped all of it, but a stored delivery may be
// older than the rules that are running.
func check(d sinks.Delivery) error {
	if !sinks.ValidID(d.ID) {
		return errors.New("the id is not of the form [A-Za-z0-9_-]{1,64}")
	}
	for name, value := range d.Headers {
		if err := checkHeader(name, value); err != nil {
			return err
		}
	}
	return checkSubject(d.Subject)
}

func checkSubject(subject string) error {
	for i := range len(subject) {
		if c := subject[i]; c <= ' ' || c == 0x7f || c == '*' || c == '>' {
			return errors.New("the subject holds a wildcard, white space or a control character")
		}
	}
	if strings.Contains("."+subject+".", "..") {
		return errors.New("the subject has an empty token")
	}
	return nil
}

// checkHeader refuses names that NATS or CloudEvents give a meaning: Nats-Rollup would empty a stream.
func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case !token(name):
		return fmt.Errorf("header %q: the name is not a valid header name", name)
	case strings.HasPrefix(lower, "nats-"), strings.HasPrefix(lower, "ce-"):
		return fmt.Errorf("header %q: names that begin with Nats- or ce- are set by dgworker", name)
	case strings.ContainsAny(value, "\r\n\x00"):
		return fmt.Errorf("header %q: the value holds a line break or NUL", name)
	}
	return nil
}

// token is the syntax of a header name (RFC 9110, section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// message builds what goes out; two calls for one delivery give the same bytes.
func (s *Sink) message(d sinks.Delivery) *nats.Msg {
	h := make(nats.Header, len(d.Headers)+8)
	contentType := s.cfg.ContentType
	for name, value := range d.Headers {
		if strings.EqualFold(name, "content-type") {
			contentType = value
			continue
		}
		h.Set(name, value)
	}
	h.Set(nats.MsgIdHdr, d.ID)
	h.Set("ce-specversion", "1.0")
	h.Set("ce-id", d.ID)
	h.Set("ce-source", encode(s.source(d.Bot)))
	h.Set("ce-type", encode(s.cfg.TypePrefix+eventType(d.Event)))
	if !d.CreatedAt.IsZero() {
		h.Set("ce-time", d.CreatedAt.UTC().Format(ceTime))
	}
	if d.Prompt != "" {
		h.Set("ce-subject", encode(d.Prompt))
	}
	h.Set("content-type", contentType)
	return &nats.Msg{Subject: d.Subject, Header: h, Data: d.Body}
}

func (s *Sink) source(bot string) string {
	if bot == "" {
		return s.cfg.Source
	}
	return s.cfg.Source + "/bots/" + bot
}

// eventType has a stand-in, because a CloudEvent must have a type.
func eventType(event string) string {
	if event == "" {
		return "action"
	}
	return event
}

// encode is the percent-encoding of header values (CloudEvents HTTP binding, section 3.1.3.2, which the NATS binding
// follows): all but printable ASCII, and of that the space, the double quote and the percent sign.
func encode(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(strings.ToValidUTF8(value, "\ufffd")) {
		if c > ' ' && c <= '~' && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}
