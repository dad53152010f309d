package sinktest

import (
	"maps"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"dgworker/sinks"
)

// verdict checks what holds for every verdict, and that this one is of that class.
func (h Harness) verdict(t *testing.T, v sinks.Verdict, want sinks.Class) {
	t.Helper()
	if v.Class != want {
		t.Errorf("class %q (%s), want %q", v.Class, v.Reason, want)
	}
	switch v.Class {
	case sinks.Delivered, sinks.Retry, sinks.Limited, sinks.Permanent, sinks.Gone:
	default:
		t.Errorf("%q is not a class", v.Class)
	}
	if v.Class != sinks.Delivered && v.Reason == "" {
		t.Error("no reason is given")
	}
	if (v.Class == sinks.Limited) != (v.MaxAttempts > 0) {
		t.Errorf("class %q with MaxAttempts %d", v.Class, v.MaxAttempts)
	}
	if v.RetryAfter < 0 {
		t.Errorf("a negative pause: %s", v.RetryAfter)
	}
	h.clean(t, "reason", v.Reason, 1<<10)
	h.clean(t, "excerpt", v.Excerpt, 16<<10)
}

// clean holds for text that a person may print on a terminal and a log may keep.
func (h Harness) clean(t *testing.T, what, text string, limit int) {
	t.Helper()
	if len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("the %s is too long, not UTF-8, or holds control characters: %q", what, text)
	}
	for _, secret := range h.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the %s holds a secret: %q", what, text)
		}
	}
}

// hostile deliveries never leave, and are never tried again: no attempt can make them better.
func (h Harness) hostile(t *testing.T) {
	d := h.start(t, Accepts)
	for what, spoil := range map[string]func(*sinks.Delivery){
		"no id":                     func(d *sinks.Delivery) { d.ID = "" },
		"a dotted id":               func(d *sinks.Delivery) { d.ID = "a.b" },
		"an id with a line break":   func(d *sinks.Delivery) { d.ID = "a\r\nX: y" },
		"a header with line breaks": func(d *sinks.Delivery) { d.Headers["X-Note"] = "a\r\nX-Admin: yes" },
		"a header name with spaces": func(d *sinks.Delivery) { d.Headers["X Note"] = "a" },
		"a header with no name":     func(d *sinks.Delivery) { d.Headers[""] = "a" },
	} {
		spoiled := d.Delivery
		spoiled.Headers = maps.Clone(d.Delivery.Headers)
		if spoiled.Headers == nil {
			spoiled.Headers = map[string]string{}
		}
		spoil(&spoiled)
		v := d.Sink.Deliver(t.Context(), spoiled)
		if v.Class != sinks.Permanent {
			t.Errorf("%s: class %q, want %q", what, v.Class, sinks.Permanent)
		}
		h.verdict(t, v, v.Class)
	}
	select {
	case r := <-d.Received:
		t.Errorf("the destination saw %q", r)
	default:
	}
}
