package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dgworker/worker"
	"dgworker/worker/dgbot/dgbotsim"
)

func publishes(name string) string {
	return "  - {name: " + name + ", on: final_response, actions: [{publish: a.b}]}\n"
}

// firesBy asks until the rule of that name decides.
func (p *plant) firesBy(rule string) {
	p.t.Helper()
	p.until("the rule "+rule, func() bool {
		p.asked++
		o := p.ask(fmt.Sprintf("by-%s-%d", rule, p.asked), "Hello")
		return len(o.Fired) == 1 && o.Fired[0].Rule == rule
	})
}

func TestReloadByFileChange(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	p.write(publishes("first"))
	p.start()
	p.firesBy("first")
	p.write(publishes("second"))
	p.until("the reload", func() bool { return p.logs.FilterMessage("rules reloaded").Len() == 1 })
	p.firesBy("second")

	// A broken file changes nothing, and says so wherever somebody would look.
	p.write("  - {name: third, on: final_response, actions: [{publish: a.b}], whn: x}\n")
	p.until("the mistake", func() bool { return p.logs.FilterMessageSnippet("mistakes").Len() == 1 })
	p.firesBy("second")
	if _, body := p.get("/metrics"); !strings.Contains(body, "dgworker_rules_last_reload_successful 0") || !strings.Contains(body, `dgworker_rules_reloads_total{result="failed"} 1`) {
		t.Errorf("metrics %s", only(body, "dgworker_rules"))
	}
	if status, body := p.get("/readyz"); status != 200 || !strings.Contains(body, "not in use") || !strings.Contains(body, "rules.yaml:6:") || !strings.Contains(body, "whn") {
		t.Errorf("readyz: %d %s; want it ready, with the mistake", status, body)
	}
	line := p.logs.FilterMessageSnippet("mistakes").All()[0]
	if list, _ := line.ContextMap()["mistakes"].([]any); len(list) != 1 || !strings.Contains(list[0].(string), "rules.yaml:6:") {
		t.Errorf("logged %v", line.ContextMap())
	}

	// Mended to what is in use: nothing to reload, and the complaint ends.
	p.write(publishes("second"))
	p.until("the end of the complaint", func() bool {
		_, body := p.get("/readyz")
		return !strings.Contains(body, "not in use")
	})
	if _, body := p.get("/metrics"); !strings.Contains(body, "dgworker_rules_last_reload_successful 1") {
		t.Errorf("metrics %s", only(body, "dgworker_rules"))
	}
	if err := os.Remove(p.rules); err != nil {
		t.Fatal(err)
	}
	p.until("the complaint about no file", func() bool {
		_, body := p.get("/readyz")
		return strings.Contains(body, "no such file")
	})
	p.firesBy("second")
}

// Kubernetes mounts a ConfigMap as rules.yaml -> ..data/rules.yaml, ..data -> ..<time>, and swaps ..data.
func TestReloadBySymlinkSwap(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	dir := t.TempDir()
	version := func(name, rulesText string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "rules.yaml"), []byte(p.text(rulesText)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_1", publishes("first"))
	if err := os.Symlink("..data/rules.yaml", filepath.Join(dir, "rules.yaml")); err != nil {
		t.Fatal(err)
	}
	p.config.Rules = filepath.Join(dir, "rules.yaml")
	p.start()
	p.firesBy("first")
	for i, rule := range []string{"second", "third"} {
		version("..2026_"+rule, publishes(rule))
		if i == 0 {
			if err := os.RemoveAll(filepath.Join(dir, "..2026_1")); err != nil {
				t.Fatal(err)
			}
		}
		p.firesBy(rule)
	}
}

func TestReloadOfAFolder(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	dir := t.TempDir()
	p.config.Rules = dir
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole := p.text(publishes("first"))
	write("bots.yaml", whole[:strings.Index(whole, "rules:\n")])
	write("first.yaml", "rules:\n"+publishes("first"))
	p.start()
	p.firesBy("first")
	if err := os.Remove(filepath.Join(dir, "first.yaml")); err != nil {
		t.Fatal(err)
	}
	write("second.yml", "rules:\n"+publishes("second"))
	p.firesBy("second")
	reloads := p.logs.FilterMessage("rules reloaded").Len()
	write("notes.txt", "no rules")
	p.firesBy("second")
	if again := p.logs.FilterMessage("rules reloaded").Len(); again != reloads {
		t.Errorf("%d reloads because of a file that holds no rules", again-reloads)
	}
}

// A conversation keeps the rules it began with, and names them.
func TestAConversationKeepsItsRules(t *testing.T) {
	t.Parallel()
	p := newPlant(t, `
replies:
  - match: slow
    steps: [{wait: 1200ms}, {stream: At last.}]
  - steps: [{stream: Hello.}]
`)
	p.write(publishes("first"))
	p.start()
	slow := p.send("slow", "slow")
	if err := p.sim.Await(p.ctx, func(s dgbotsim.Stats) bool { return s.Messages == 1 }); err != nil {
		t.Fatal(err)
	}
	p.write(publishes("second"))
	if err := p.app.Reload(p.ctx); err != nil {
		t.Fatal(err)
	}
	quick := p.ask("quick", "Hello")
	if len(quick.Fired) != 1 || quick.Fired[0].Rule != "second" {
		t.Errorf("after the reload fired %+v", quick.Fired)
	}
	o := p.await(slow)
	if o.Status != worker.Completed || len(o.Fired) != 1 || o.Fired[0].Rule != "first" || o.RulesVersion == quick.RulesVersion {
		t.Errorf("the conversation of before fired %+v by version %s, the other's is %s", o.Fired, o.RulesVersion, quick.RulesVersion)
	}
}

// Start replaces nothing that a rival already holds: two apps over one NATS share the work.
func TestTwoAppsOverOneNATS(t *testing.T) {
	t.Parallel()
	p := newPlant(t, backOffice)
	p.write(publishes("first"))
	p.start()
	other := newPlant(t, backOffice)
	other.write(publishes("first"))
	other.config.NATS.URL = p.app.NATSURL()
	other.config.Rules = p.rules
	other.start()
	for _, id := range []string{"a", "b", "c", "d"} {
		if o := p.ask(id, "Hello"); o.Status != worker.Completed {
			t.Errorf("outcome %+v", o)
		}
	}
	p.until("one outcome each", func() bool {
		stream, err := p.js.Stream(p.ctx, "DGBOT_OUTCOMES")
		return err == nil && stream.CachedInfo().State.Msgs == 4
	})
	other.stop()
}

// only returns the lines with what.
func only(text, what string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, what) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
