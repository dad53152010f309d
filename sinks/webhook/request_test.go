package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	s := newSink(t, webhook.Config{URL: r.URL + "/hooks", UserAgent: "dgworker/1.2.3", Headers: map[string]string{"X-Shop": "7", "x-note": "static"}})
	d := delivery()
	d.Headers = map[string]string{"X-Note": "of the rule"}
	expect(t, s.Deliver(t.Context(), d), sinks.Delivered)
	got := r.only(t)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "dgworker/1.2.3", "X-Shop": "7", "X-Note": "of the rule",
		"Webhook-Id": d.ID, "Content-Length": "16", "Accept-Encoding": "", "Cookie": "", "Idempotency-Key": "",
	} {
		if v := strings.Join(got.Header.Values(name), "|"); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if got.Method != "POST" || got.RequestURI != "/hooks" || got.body != string(d.Body) {
		t.Errorf("%s %s %q", got.Method, got.RequestURI, got.body)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ base, path, query, want string }{
		{"", "", "", "/"},
		{"", "/orders/1", "", "/orders/1"},
		{"/", "/orders/1", "", "/orders/1"},
		{"/hooks", "/orders/1", "", "/hooks/orders/1"},
		{"/hooks/", "/orders/1", "", "/hooks/orders/1"},
		{"/a%2Fb", "/c%2Fd%20e", "", "/a%2Fb/c%2Fd%20e"},
		{"/hooks", "/a%26b%23c", "q=a%26b%23c", "/hooks/a%26b%23c?q=a%26b%23c"},
		{"/hooks", "/..%2F..%2Fx", "", "/hooks/..%2F..%2Fx"}, // one literal segment
		{"/hooks", "/@evil.example", "", "/hooks/@evil.example"},
		{"/hooks", "//evil.example", "", "/hooks//evil.example"},
		{"", "//evil.example/x", "", "//evil.example/x"},
		{"/hooks?k=v", "", "", "/hooks?k=v"},
		{"/hooks?k=v", "/x", "a=b", "/hooks/x?k=v&a=b"},
		{"/hooks", "", "a=b", "/hooks?a=b"},
		{"?k=v", "/x", "", "/x?k=v"},
	} {
		r := newReceiver(t, nil)
		s := newSink(t, webhook.Config{URL: r.URL + c.base})
		d := delivery()
		d.Path, d.Query = c.path, c.query
		expect(t, s.Deliver(t.Context(), d), sinks.Delivered)
		if got := r.only(t); got.RequestURI != c.want || got.Host != r.Listener.Addr().String() {
			t.Errorf("%s + %s ? %s: %s at %s, want %s", c.base, c.path, c.query, got.RequestURI, got.Host, c.want)
		}
	}
}

// What a stored delivery may hold that can't be sent. None of it reaches the receiver; the reason quotes no value.
func TestRefusedDeliveries(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	s := newSink(t, webhook.Config{URL: r.URL})
	for name, spoil := range map[string]func(*sinks.Delivery){
		"dotted id":               func(d *sinks.Delivery) { d.ID = "a.1" },
		"method":                  func(d *sinks.Delivery) { d.Method = "CONNECT" },
		"method with a space":     func(d *sinks.Delivery) { d.Method = "GET /x HTTP/1.1\r\nX:" },
		"path without slash":      func(d *sinks.Delivery) { d.Path = "orders" },
		"path that moves host":    func(d *sinks.Delivery) { d.Path = "@evil.example/" },
		"path with a query":       func(d *sinks.Delivery) { d.Path = "/a?t0psecret" },
		"path with a fragment":    func(d *sinks.Delivery) { d.Path = "/a#b" },
		"path with a space":       func(d *sinks.Delivery) { d.Path = "/a b" },
		"path with a line break":  func(d *sinks.Delivery) { d.Path = "/a\r\nHost: evil" },
		"path with a backslash":   func(d *sinks.Delivery) { d.Path = `/..\..` },
		"path with bad escapes":   func(d *sinks.Delivery) { d.Path = "/a%zz" },
		"path of other letters":   func(d *sinks.Delivery) { d.Path = "/ä" },
		"7 dot segment":           func(d *sinks.Delivery) { d.Path = "/a/./b" },
		"7 two dots":              func(d *sinks.Delivery) { d.Path = "/a/../../b" },
		"7 two dots at the end":   func(d *sinks.Delivery) { d.Path = "/.." },
		"7 two dots, escaped":     func(d *sinks.Delivery) { d.Path = "/a/%2e%2E/b" },
		"7 one dot, half escaped": func(d *sinks.Delivery) { d.Path = "/.%2e/b" },
		"query with a line break": func(d *sinks.Delivery) { d.Query = "a=b HTTP/1.1\r\nX: t0psecret" },
		"query with a fragment":   func(d *sinks.Delivery) { d.Query = "a=b#c" },
		"query of other letters":  func(d *sinks.Delivery) { d.Query = "a=\u2028" },
		"header Host":             func(d *sinks.Delivery) { d.Headers = map[string]string{"host": "t0psecret"} },
		"header Idempotency-Key":  func(d *sinks.Delivery) { d.Headers = map[string]string{"idempotency-key": "t0psecret"} },
		"header webhook-id":       func(d *sinks.Delivery) { d.Headers = map[string]string{"webhook-id": "t0psecret"} },
		"10 line break":           func(d *sinks.Delivery) { d.Headers = map[string]string{"X": "t0psecret\nY: z"} },
		"10 NUL":                  func(d *sinks.Delivery) { d.Headers = map[string]string{"X": "t0psecret\x00"} },
	} {
		d := delivery()
		spoil(&d)
		v := s.Deliver(t.Context(), d)
		if v.Class != sinks.Permanent || v.Reason == "" || strings.Contains(v.Reason, "t0psecret") {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if n := len(r.requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// In format cloudevents the rules render a structured CloudEvent. The SDK reads it as it arrives.
func TestCloudEventsStructuredMode(t *testing.T) {
	t.Parallel()
	sent := cloudevents.New()
	sent.SetID(delivery().ID)
	sent.SetSource("/dgworker/bots/support")
	sent.SetType("dgworker.tool_action_result")
	sent.SetTime(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	if err := sent.SetData("application/json", map[string]string{"order": "R-17"}); err != nil {
		t.Fatal(err)
	}
	d := delivery()
	d.Body, _ = json.Marshal(sent)
	r := newReceiver(t, nil)
	s := newSink(t, webhook.Config{URL: r.URL, Format: webhook.FormatCloudEvents})
	expect(t, s.Deliver(t.Context(), d), sinks.Delivered)
	var got cloudevents.Event
	if err := json.Unmarshal([]byte(r.only(t).body), &got); err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil || got.ID() != d.ID || got.Type() != "dgworker.tool_action_result" {
		t.Errorf("%v, %v", got, err)
	}
	if kind := r.only(t).Header.Get("Content-Type"); kind != "application/cloudevents+json; charset=UTF-8" {
		t.Errorf("Content-Type %q", kind)
	}
}
