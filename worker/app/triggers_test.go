package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
	"dgworker/worker/queue"
)

// Rules that feed their own trigger, by what they publish or by their outcomes, go round as often as hops allow. Then the
// event is a dead letter, and all is quiet.
func TestLoopsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ subject, stream, rules, first string }{
		"published, on a stream":    {"orders.>", "ORDERS", "[{name: r, on: final_response, actions: [{publish: orders.again}]}]", "orders.new"},
		"published, without stream": {"orders.>", "", "[{name: r, on: final_response, actions: [{publish: orders.again, headers: {X-A: b}}]}]", "orders.new"},
		"by its outcomes":           {"dgbot.outcomes.*.completed.*", "", "[]", "dgbot.prompts.support"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := dgbotsim.ParseScript([]byte("replies: [{steps: [{stream: Hello.}]}]"))
			if err != nil {
				t.Fatal(err)
			}
			sim := dgbotsim.New(script)
			if err := sim.Start("127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sim.Close() })
			server, err := broker.Start(broker.Embed{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			nc, err := nats.Connect(server.URL())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if c.stream != "" {
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: c.stream, Subjects: []string{c.subject}}); err != nil {
					t.Fatal(err)
				}
			}
			rules := filepath.Join(t.TempDir(), "rules.yaml")
			text := fmt.Sprintf("bots: {support: {key: k, url: %q, settle: 10ms}}\ntriggers: [{name: round, subject: %q, bot: support, content: again}]\nrules: %s\n", sim.URL(), c.subject, c.rules)
			if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := New(Config{Rules: rules, NATS: broker.Settings{URL: server.URL()}, Admin: "off", MaxHops: 3, DrainTimeout: time.Second, Memory: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.Stop(context.Background()) })
			dead, err := nc.SubscribeSync("dgbot.dead.events.round.*")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Publish(c.first, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			msg, err := dead.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			var letter queue.DeadEvent
			if err := json.Unmarshal(msg.Data, &letter); err != nil || !strings.Contains(letter.Reason, "a loop is cut: 3 triggers in a row") {
				t.Errorf("letter is %s (%v)", msg.Data, err)
			}
			archive, err := queue.OpenArchive(t.Context(), js, "dgbot")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Stop(t.Context()); err != nil { // what is under way ends first
				t.Fatal(err)
			}
			hops := map[string]int{}
			for o, err := range archive.Outcomes(t.Context(), queue.Filter{}) {
				if err != nil {
					t.Fatal(err)
				}
				hops[o.Prompt.Headers[worker.HeaderHops]]++
			}
			if hops["1"] != 1 || hops["2"] != 1 || hops["3"] != 1 || hops["4"] != 0 {
				t.Errorf("outcomes by hops: %v", hops)
			}
		})
	}
}
