package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream that somebody made otherwise is left alone: dgworker says what differs, and stops where it can't work.
func TestStreamsOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream jetstream.StreamConfig
		fatal  []string // in the error; none: a warning
	}{
		"another retention":    {jetstream.StreamConfig{Name: "DGBOT_PROMPTS", Subjects: []string{"dgbot.prompts.>"}}, []string{"DGBOT_PROMPTS", "Limits", "WorkQueue", "--prefix"}},
		"a subject is missing": {jetstream.StreamConfig{Name: "DGBOT_OUTCOMES", Subjects: []string{"dgbot.outcomes.support.>"}}, []string{"DGBOT_OUTCOMES", "dgbot.outcomes.>"}},
		"dead letters that expire": {jetstream.StreamConfig{Name: "DGBOT_DEAD", Subjects: []string{"dgbot.dead.>"}, MaxAge: time.Hour},
			[]string{"DGBOT_DEAD", "1h0m0s", "lose"}},
		"tokens without their limit": {jetstream.StreamConfig{Name: "DGBOT_READY", Subjects: []string{"dgbot.ready.>"}, Retention: jetstream.WorkQueuePolicy},
			[]string{"DGBOT_READY", "one message per subject"}},
		"a journal that forgets": {jetstream.StreamConfig{Name: "DGBOT_JOURNAL", Subjects: []string{"dgbot.journal.>"}, MaxMsgsPerSubject: 1},
			[]string{"DGBOT_JOURNAL", "1 messages per subject"}},
		"no fences":       {jetstream.StreamConfig{Name: "DGBOT_OUTCOMES", Subjects: []string{"dgbot.outcomes.>"}, MaxAge: 7 * 24 * time.Hour}, nil},
		"another age":     {jetstream.StreamConfig{Name: "DGBOT_OUTCOMES", Subjects: []string{"dgbot.outcomes.>", "dgbot.fences.prompts.taken.*"}, MaxAge: time.Hour}, nil},
		"another storage": {jetstream.StreamConfig{Name: "DGBOT_LANES", Subjects: []string{"dgbot.lanes.>"}, Storage: jetstream.MemoryStorage}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			config, logs := b.config()
			if _, err := config.JetStream.CreateStream(b.ctx, c.stream); err != nil {
				t.Fatal(err)
			}
			_, err := Open(b.ctx, config)
			for _, want := range c.fatal {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("open: %v, want %q in it", err, want)
				}
			}
			if c.fatal == nil && (err != nil || logs.FilterMessageSnippet("stays as it is").Len() != 1) {
				t.Errorf("open: %v, logs %v; want one warning", err, logs.All())
			}
			stream, err := config.JetStream.Stream(b.ctx, c.stream.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got := stream.CachedInfo().Config; got.Retention != c.stream.Retention || got.MaxAge != c.stream.MaxAge || got.Storage != c.stream.Storage {
				t.Errorf("the stream was changed: %+v", got)
			}
		})
	}
}

func TestEveryMistakeOfTheStreamsIsReported(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config, _ := b.config()
	for _, bad := range []jetstream.StreamConfig{
		{Name: "DGBOT_PROMPTS", Subjects: []string{"dgbot.prompts.>"}}, {Name: "DGBOT_DEAD", Subjects: []string{"dgbot.dead.>"}, MaxAge: time.Hour},
	} {
		if _, err := config.JetStream.CreateStream(b.ctx, bad); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(b.ctx, config); err == nil || !strings.Contains(err.Error(), "DGBOT_PROMPTS") || !strings.Contains(err.Error(), "DGBOT_DEAD") {
		t.Errorf("open: %v, want both streams", err)
	}
}

func TestJetStreamOff(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) { o.JetStream = false })
	config, _ := b.config()
	_, err := Open(b.ctx, config)
	if err == nil || !strings.Contains(err.Error(), "JetStream is off") || !strings.Contains(err.Error(), "-js") || strings.Count(err.Error(), "JetStream is off") != 1 {
		t.Errorf("open: %v", err)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config, _ := b.config()
	config.Prefix = "acme.dgbot-2"
	q := b.openWith(config)
	if got := q.Names.Stream("PROMPTS"); got != "ACME_DGBOT_2_PROMPTS" {
		t.Errorf("stream %s", got)
	}
	b.publish(q, "acme.dgbot-2.prompts.support", "Hi")
	d := newDesk(q)
	b.takes(q, d, 1, Bot{Name: "support"})
	d.await(b.ctx, t, 1)
	for _, bad := range []string{"a b", "a.", ".a", "a.*", ">", "a..b", "é"} {
		config.Prefix = bad
		if _, err := Open(b.ctx, config); err == nil || !strings.Contains(err.Error(), "prefix") {
			t.Errorf("prefix %q: %v", bad, err)
		}
	}
}

// Workers that start at once make the streams once.
func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	errs := make(chan error)
	for range 8 {
		config, _ := b.config()
		go func() {
			_, err := Open(b.ctx, config)
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestNamesOfSubjects(t *testing.T) {
	t.Parallel()
	n := Names{"dgbot"}
	for got, want := range map[string]string{
		n.Prompts("support"):                          "dgbot.prompts.support",
		n.Lane("support", "*"):                        "dgbot.prompts.support.*",
		n.Journal("p 1"):                              "dgbot.journal.=cCAx",
		n.Outcome("*", "*", "a.b"):                    "dgbot.outcomes.*.*.=YS5i",
		n.Outcome("support", "completed", "p1"):       "dgbot.outcomes.support.completed.p1",
		n.Outcome("support", "*", "*"):                "dgbot.outcomes.support.*.*",
		n.DeadPrompt("support", "p1"):                 "dgbot.dead.prompts.support.p1",
		strings.Join(n.split("dgbot.lanes.a.b"), "/"): "a/b",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if positionID(35, time.Unix(0, 36)) != "pz-10" {
		t.Errorf("position id %s", positionID(35, time.Unix(0, 36)))
	}
}
