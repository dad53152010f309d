package outbox

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"dgworker/sinks"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	others := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dgworker_dead_letters_total", Help: "Dead letters written, by kind.",
	}, []string{"kind"})
	reg.MustRegister(others) // the worker counts dead prompts under the same name
	o := open(t, startServer(t).connect(), func(c *Config) { c.Metrics, c.Breaker.Requests = reg, 2 })
	set(t, o, Endpoint{Name: "refunds", Sink: &always{verdict: failure}, Retry: []time.Duration{0}, Concurrency: 1},
		fast("orders", &always{verdict: sinks.Verdict{Class: sinks.Delivered}}))
	enqueue(t, o, "orders", "b1")
	enqueue(t, o, "refunds", "a1", "a2", "a3", "a4", "a5")
	item(t, o, "b1", Done)
	item(t, o, "a2", Dead)
	settledQueue(t, o, "orders")
	waitFor(t, "the settled actions to be counted", func() bool { return gather(t, reg)["dgworker_outbox_pending{endpoint=refunds}"] == 3 })
	got := gather(t, reg)
	for name, want := range map[string]float64{
		"dgworker_deliveries_total{class=delivered,endpoint=orders}": 1,
		"dgworker_deliveries_total{class=retry,endpoint=refunds}":    2,
		"dgworker_delivery_seconds{endpoint=refunds}":                2,
		"dgworker_breaker_open{endpoint=refunds}":                    1,
		"dgworker_breaker_open{endpoint=orders}":                     0,
		"dgworker_dead_letters_total{kind=action}":                   2,
		"dgworker_outbox_pending{endpoint=orders}":                   0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if err := o.Stop(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	again := open(t, o.cfg.JetStream, func(c *Config) { c.Metrics = reg }) // a later outbox of the same process
	_ = again
}

// gather returns every series by name and labels; of a histogram, its count.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

func TestLogHasOneLineADeliveryAndNoSecret(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	o := open(t, startServer(t).connect(), func(c *Config) { c.Log = zap.New(core) })
	sink := newManual()
	set(t, o, fast("refunds", sink))
	enqueue(t, o, "refunds", "a1", "a2")
	for range 2 {
		if c := sink.next(t); c.ID == "a1" {
			c.ok()
		} else {
			c.as(sinks.Verdict{Class: sinks.Permanent, Status: 302, Reason: "302 redirect", Excerpt: "excerpt of the answer"})
		}
	}
	item(t, o, "a1", Done)
	item(t, o, "a2", Dead)
	lines := logs.FilterMessage("delivery").All()
	if len(lines) != 2 {
		t.Fatalf("%d lines for two deliveries", len(lines))
	}
	for _, line := range lines {
		fields := line.ContextMap()
		for _, name := range []string{"endpoint", "action", "rule", "prompt", "attempt", "class", "status", "ms"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("no %s in %v", name, fields)
			}
		}
		if line.Level != zapcore.InfoLevel {
			t.Errorf("level is %v", line.Level)
		}
	}
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"})
	for _, e := range logs.All() {
		text, err := enc.EncodeEntry(e.Entry, e.Context)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"token=secret", `\"order\"`, "excerpt of", "X-Shop"} {
			if strings.Contains(text.String(), secret) {
				t.Errorf("log line holds %q: %s", secret, text)
			}
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream jetstream.StreamConfig
		change func(*Config)
		want   []string
	}{
		"settings": {change: func(c *Config) { c.Prefix, c.Retain, c.Breaker.Ratio, c.Grace = "a b", 1, 7, -1 },
			want: []string{"prefix", "retain", "breaker ratio", "grace"}},
		"not a work queue": {stream: jetstream.StreamConfig{Retention: jetstream.LimitsPolicy, MaxAge: time.Hour},
			want: []string{"DGBOT_ACTIONS", "work queue", "AllowMsgSchedules", "AllowMsgTTL", "maximum age"}},
		"limited, and yet usable": {stream: jetstream.StreamConfig{Retention: jetstream.WorkQueuePolicy, MaxBytes: 1 << 20,
			AllowMsgSchedules: true, AllowMsgTTL: true, Storage: jetstream.MemoryStorage}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := startServer(t).connect()
			core, logs := observer.New(zapcore.WarnLevel)
			cfg := Config{JetStream: js, Log: zap.New(core)}
			if c.change != nil {
				c.change(&cfg)
			} else {
				c.stream.Name, c.stream.Subjects = "DGBOT_ACTIONS", []string{"dgbot.actions.>"}
				if _, err := js.CreateStream(ctxOf(t), c.stream); err != nil {
					t.Fatal(err)
				}
			}
			o, err := New(ctxOf(t), cfg)
			if len(c.want) == 0 {
				if err != nil || logs.Len() != 2 {
					t.Fatalf("error %v, %d warnings", err, logs.Len())
				}
				_ = o.Stop(ctxOf(t))
				return
			}
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("error %v doesn't name %q", err, w)
				}
			}
		})
	}
}

func TestNewNeedsTheDeadLetters(t *testing.T) {
	t.Parallel()
	js := startServer(t).dial()
	if _, err := New(ctxOf(t), Config{JetStream: js}); err == nil || !strings.Contains(err.Error(), "DGBOT_DEAD") {
		t.Errorf("error is %v", err)
	}
}
