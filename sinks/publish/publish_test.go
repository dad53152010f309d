package publish_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/sinks"
	"dgworker/sinks/publish"
	"dgworker/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	t.Run("core", func(t *testing.T) { sinktest.Run(t, sinktest.Harness{Start: startDestination(false)}) })
	t.Run("stream", func(t *testing.T) { sinktest.Run(t, sinktest.Harness{Start: startDestination(true)}) })
}

// startDestination has a subscriber that sees every attempt, and for the stalling mood a stream that never acknowledges.
func startDestination(stream bool) func(*testing.T, sinktest.Mood) sinktest.Destination {
	return func(t *testing.T, mood sinktest.Mood) sinktest.Destination {
		s := startServer(t, nil)
		nc, watcher := connect(t, s, nats.MaxReconnects(0)), connect(t, s)
		received := make(chan sinktest.Received, 100)
		cfg := publish.Config{Conn: nc}
		d := delivery()
		if mood == sinktest.Refuses {
			d.Body = make([]byte, nc.MaxPayload()+1)
		}
		if stalls := mood == sinktest.Stalls; stream || stalls {
			addStream(t, watcher, jetstream.StreamConfig{Name: "REFUNDS", Subjects: []string{"backoffice.>"}, NoAck: stalls})
		}
		if _, err := watcher.Subscribe("backoffice.>", func(m *nats.Msg) {
			received <- sinktest.Received{ID: m.Header.Get(nats.MsgIdHdr), Body: string(m.Data)}
		}); err != nil {
			t.Fatal(err)
		}
		if err := watcher.Flush(); err != nil {
			t.Fatal(err)
		}
		stop := func() { nc.Close(); watcher.Close(); s.Shutdown(); s.WaitForShutdown() }
		sink := newSink(t, cfg)
		if mood == sinktest.Absent {
			stop()
			stop = func() {}
		}
		return sinktest.Destination{Sink: sink, Delivery: d, Received: received, Stop: stop}
	}
}

func TestPublishesACloudEvent(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	nc := connect(t, s)
	sub := listen(t, nc, "backoffice.>")
	if v := newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), delivery()); v.Class != sinks.Delivered || v.Address == "" {
		t.Fatalf("verdict %+v", v)
	}
	m := receive(t, sub)
	got := map[string]string{}
	for name := range m.Header {
		got[name] = m.Header.Get(name)
	}
	want := map[string]string{
		"Nats-Msg-Id": "act_7Qp", "X-Note": "hello", "content-type": "application/json",
		"ce-specversion": "1.0", "ce-id": "act_7Qp", "ce-source": "/dgworker/bots/support", "ce-type": "dgworker.final_response",
		"ce-time": "2026-11-01T12:00:00.123Z", "ce-subject": "p%2017/%C3%BC%22%25",
	}
	if !maps.Equal(got, want) || string(m.Data) != `{"order":"R-17"}` {
		t.Errorf("headers %q, body %q; want %q", got, m.Data, want)
	}
}

func TestOwnContentTypeWins(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	nc := connect(t, s)
	sub := listen(t, nc, "backoffice.>")
	d := delivery()
	d.Headers = map[string]string{"Content-Type": "text/plain"}
	newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), d)
	if m := receive(t, sub); m.Header.Get("content-type") != "text/plain" || m.Header.Get("Content-Type") != "" {
		t.Errorf("headers %q", m.Header)
	}
}

func TestStreamStoresOnceUnderOneID(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	nc := connect(t, s)
	stream := addStream(t, nc, jetstream.StreamConfig{Name: "REFUNDS", Subjects: []string{"backoffice.>"}})
	sink := newSink(t, publish.Config{Conn: nc})
	first, second := sink.Deliver(t.Context(), delivery()), sink.Deliver(t.Context(), delivery())
	if first.Class != sinks.Delivered || second.Class != sinks.Delivered {
		t.Fatalf("verdicts %+v and %+v", first, second)
	}
	if first.Excerpt != "stream REFUNDS, sequence 1" || !strings.Contains(second.Reason, "stored it before") {
		t.Errorf("verdicts %+v and %+v", first, second)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream has %v messages, %v", info.State.Msgs, err)
	}
}

// What a stream or NATS says no to, and how final that is.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream *jetstream.StreamConfig
		change func(*sinks.Delivery)
		class  sinks.Class
		reason string
	}{
		"over max_payload": {nil, func(d *sinks.Delivery) { d.Body = make([]byte, 1<<20) }, sinks.Permanent, "maximum payload exceeded"},
		"over the stream's max_msg_size": {
			&jetstream.StreamConfig{MaxMsgSize: 5}, nil, sinks.Permanent, "message size exceeds maximum allowed"},
		"stream full": {
			&jetstream.StreamConfig{MaxBytes: 1, Discard: jetstream.DiscardNew}, nil, sinks.Retry, "maximum bytes exceeded"},
		"sealed":             {&jetstream.StreamConfig{Sealed: true}, nil, sinks.Limited, "sealed"},
		"no acknowledgement": {&jetstream.StreamConfig{NoAck: true}, nil, sinks.Retry, "no answer from NATS within 300ms"},
		"no subject":         {nil, func(d *sinks.Delivery) { d.Subject = "" }, sinks.Permanent, "empty token"},
		"wildcard":           {nil, func(d *sinks.Delivery) { d.Subject = "backoffice.*" }, sinks.Permanent, "wildcard"},
		"greater":            {nil, func(d *sinks.Delivery) { d.Subject = "backoffice.>" }, sinks.Permanent, "wildcard"},
		"empty token":        {nil, func(d *sinks.Delivery) { d.Subject = "backoffice..x" }, sinks.Permanent, "empty token"},
		"injection":          {nil, func(d *sinks.Delivery) { d.Subject = "a 5\r\nhello\r\nPUB b" }, sinks.Permanent, "white space"},
		"rollup":             {nil, header("Nats-Rollup", "all"), sinks.Permanent, "Nats-Rollup"},
		"rollup, lower case": {nil, header("nats-rollup", "all"), sinks.Permanent, "nats-rollup"},
		"own id":             {nil, header("Nats-Msg-Id", "x"), sinks.Permanent, "Nats-Msg-Id"},
		"cloud event id":     {nil, header("Ce-Id", "x"), sinks.Permanent, "Ce-Id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := connect(t, startServer(t, nil))
			if c.stream != nil {
				createOnly(t, nc, *c.stream)
			}
			d := delivery()
			if c.change != nil {
				c.change(&d)
			}
			v := newSink(t, publish.Config{Conn: nc, Timeout: 300 * time.Millisecond}).Deliver(t.Context(), d)
			if v.Class != c.class || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("class %q (%s), want %q (…%s…)", v.Class, v.Reason, c.class, c.reason)
			}
		})
	}
}

// createOnly makes the stream; sealing is an update, for a stream can't be made sealed.
func createOnly(t *testing.T, nc *nats.Conn, cfg jetstream.StreamConfig) {
	t.Helper()
	sealed := cfg.Sealed
	cfg.Name, cfg.Subjects, cfg.Sealed = "REFUNDS", []string{"backoffice.>"}, false
	addStream(t, nc, cfg)
	if !sealed {
		return
	}
	js, _ := jetstream.New(nc)
	cfg.Sealed = true
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func header(name, value string) func(*sinks.Delivery) {
	return func(d *sinks.Delivery) { d.Headers = map[string]string{name: value} }
}

// A subject that is not permitted is refused on the connection, not to the publisher.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "w", Password: "pw-2f81", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"backoffice.refunds.>"}},
		}}}
	})
	nc := connect(t, s, nats.UserInfo("w", "pw-2f81"))
	sink := newSink(t, publish.Config{Conn: nc, Timeout: 300 * time.Millisecond})
	for range 2 { // the second time the connection's last error is of the same text
		v := sink.Deliver(t.Context(), delivery())
		if v.Class != sinks.Limited || v.MaxAttempts != 3 || !strings.Contains(v.Reason, "not permitted to publish on backoffice.refunds.confirmed") {
			t.Fatalf("verdict %+v", v)
		}
	}
	allowed := delivery()
	allowed.Subject = "backoffice.other"
	if v := sink.Deliver(t.Context(), allowed); v.Class != sinks.Delivered {
		t.Errorf("another subject: %+v", v)
	}
	addStream(t, nc, jetstream.StreamConfig{Name: "REFUNDS", Subjects: []string{"backoffice.refunds.>"}})
	sink = newSink(t, publish.Config{Conn: nc, Timeout: 300 * time.Millisecond})
	if v := sink.Deliver(t.Context(), delivery()); v.Class != sinks.Limited {
		t.Errorf("with a stream: %+v", v)
	}
}

// An account without JetStream has no streams: all is core NATS there.
func TestAccountWithoutJetStream(t *testing.T) {
	t.Parallel()
	plain := server.NewAccount("PLAIN")
	nc := connect(t, startServer(t, func(o *server.Options) {
		o.Accounts = []*server.Account{plain}
		o.Users = []*server.User{{Username: "w", Password: "pw", Account: plain}}
	}), nats.UserInfo("w", "pw"))
	sub := listen(t, nc, "backoffice.>")
	if v := newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), delivery()); v.Class != sinks.Delivered {
		t.Fatalf("verdict %+v", v)
	}
	receive(t, sub)
}

// Where nobody answers for JetStream (a cluster in trouble) it can't be known whether a stream should store it.
func TestJetStreamAway(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t, func(o *server.Options) { o.JetStream = false }))
	v := newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), delivery())
	if v.Class != sinks.Retry || !strings.Contains(v.Reason, "look up the subject's stream") {
		t.Fatalf("verdict %+v", v)
	}
}

// A stream that went away is noticed by the attempt after the one that it failed.
func TestStreamThatWentAway(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t, nil))
	addStream(t, nc, jetstream.StreamConfig{Name: "REFUNDS", Subjects: []string{"backoffice.>"}})
	sink := newSink(t, publish.Config{Conn: nc, StreamTTL: time.Hour})
	sink.Deliver(t.Context(), delivery())
	js, _ := jetstream.New(nc)
	if err := js.DeleteStream(t.Context(), "REFUNDS"); err != nil {
		t.Fatal(err)
	}
	if v := sink.Deliver(t.Context(), delivery()); v.Class != sinks.Retry {
		t.Errorf("first: %+v", v)
	}
	if v := sink.Deliver(t.Context(), delivery()); v.Class != sinks.Delivered {
		t.Errorf("second: %+v", v)
	}
}

// While the connection is lost nothing goes into the client's buffer, from where it would be sent after all.
func TestDisconnected(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	lost := make(chan struct{})
	nc := connect(t, s, nats.DisconnectErrHandler(func(*nats.Conn, error) { close(lost) }), nats.ReconnectWait(time.Hour))
	s.Shutdown()
	<-lost
	v := newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), delivery())
	if v.Class != sinks.Retry || !strings.Contains(v.Reason, "not connected") {
		t.Errorf("verdict %+v", v)
	}
	if n, _ := nc.Buffered(); n > 0 {
		t.Errorf("%d bytes wait in the client", n)
	}
}

func TestGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t, nil))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("draining"))
	v := newSink(t, publish.Config{Conn: nc}).Deliver(ctx, delivery())
	if v.Class != sinks.Retry || v.Reason != "the attempt was stopped: draining" {
		t.Errorf("verdict %+v", v)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := publish.New(publish.Config{}); err == nil {
		t.Error("a sink without a connection is made")
	}
	if _, err := publish.New(publish.Config{Conn: new(nats.Conn), Timeout: -1}); err == nil {
		t.Error("a negative limit is taken")
	}
}
