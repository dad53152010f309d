package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"dgworker/worker/app"
	"dgworker/worker/broker"
)

// cli runs a command and returns what it printed.
func cli(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	if code := run(args, &out, &errs); code != want {
		t.Fatalf("dgworker %s: exit code %d, want %d: %s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String()
}

func TestDeadEventsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	text := "bots: {support: {key: k, url: 'ws://127.0.0.1:1'}}\ntriggers: [{name: late, subject: orders.late, bot: support, content: '{{ event.data.id }}'}]\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(app.Config{Rules: rules, Embed: broker.Embed{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", Sync: time.Second}, Admin: "off", DrainTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(context.Background()) }()
	nc, err := nats.Connect(a.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	letters, err := nc.SubscribeSync("dgbot.dead.events.>")
	if err != nil {
		t.Fatal(err)
	}
	bury := func(payload string) {
		t.Helper()
		if err := nc.PublishMsg(&nats.Msg{Subject: "orders.late", Header: nats.Header{"X-Region": {"eu"}}, Data: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
		if _, err := letters.NextMsg(20 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	bury(`{"name":"no id` + "\x1b" + `[31m"}`)
	bury(`[1]`)

	server := "--nats=" + a.NATSURL()
	list := cli(t, 0, "dead", "list", server, "--kind", "events", "--trigger", "late", "--since", "1h")
	ids := regexp.MustCompile(`(?m)^event +(late-\S+) `).FindAllStringSubmatch(list, -1)
	if len(ids) != 2 || !strings.Contains(list, "trigger late on orders.late: message 1: event.data.id") || !strings.Contains(list, "2 dead letters") {
		t.Fatalf("list is %s", list)
	}
	for _, filter := range [][]string{{"--kind", "prompts"}, {"--trigger", "other"}, {"--status", "failed"}, {"--bot", "sales"}} {
		if out := cli(t, 0, append([]string{"dead", "list", server}, filter...)...); !strings.Contains(out, "0 dead letters") {
			t.Errorf("%v: %s", filter, out)
		}
	}
	show := cli(t, 0, "dead", "show", server, ids[0][1])
	if !strings.Contains(show, "header   X-Region: eu") || !strings.Contains(show, `{"name":"no id�[31m"}`) {
		t.Errorf("show is %s", show)
	}
	if out := cli(t, 0, "dead", "show", server, "--json", ids[1][1]); !strings.Contains(out, `"kind":"event"`) || !strings.Contains(out, `"payload":"[1]"`) {
		t.Errorf("show is %s", out)
	}
	if out := cli(t, 0, "dead", "retry", server, "--dry-run", ids[0][1]); !strings.Contains(out, "would retry") {
		t.Errorf("retry is %s", out)
	}
	if out := cli(t, 0, "dead", "retry", server, ids[0][1]); !strings.Contains(out, "published again on orders.late") {
		t.Errorf("retry is %s", out)
	}
	if _, err := letters.NextMsg(20 * time.Second); err != nil { // it fails again, and is a dead letter again
		t.Fatal(err)
	}
	if out := cli(t, 0, "dead", "drop", server, "--trigger", "late"); !strings.Contains(out, "2 dead letters") {
		t.Errorf("drop is %s", out)
	}
	cli(t, 1, "dead", "show", server, ids[1][1])
}
