package rulesfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dgworker/rules"
)

const (
	bots   = "bots:\n  support: {key: k}\n"
	rulesA = "rules:\n  - {name: a, on: final_response, actions: [{publish: a.b}]}\n"
	rulesB = "rules:\n  - {name: b, on: final_response, actions: [{publish: a.b}]}\n"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"20-b.yml": rulesB, "10-a.yaml": rulesA, "00-bots.yaml": bots, "README.md": "no rules", ".hidden": "x"})
	set, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Rules(); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("rules of a folder: %v, want them in the order of the files' names", got)
	}
	one, err := Load(filepath.Join(folder(t, map[string]string{"any.name": bots + rulesA}), "any.name"))
	if err != nil || len(one.Rules()) != 1 {
		t.Errorf("one file: %v, %v", one, err)
	}
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(filepath.Join(dir, "00-bots.yaml"), link); err != nil {
		t.Fatal(err)
	}
	if linked, err := Load(link); err != nil || len(linked.Bots()) != 1 {
		t.Errorf("through a link: %v", err)
	}
}

func TestLoadMistakes(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "rules.yaml")
	if _, err := Load(missing); err == nil || !strings.Contains(err.Error(), missing) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := Load(folder(t, nil)); err == nil || !strings.Contains(err.Error(), "no .yaml or .yml file") {
		t.Errorf("an empty folder: %v", err)
	}
	dir := folder(t, map[string]string{"a.yaml": "bots:\n  support: {key: \"${NO_SUCH_VARIABLE_HERE}\"}\n", "b.yaml": "rule: []\n"})
	_, err := Load(dir)
	var problems rules.Problems
	if !errors.As(err, &problems) || len(problems) != 2 || !strings.Contains(err.Error(), "NO_SUCH_VARIABLE_HERE") || !strings.Contains(err.Error(), filepath.Join(dir, "b.yaml")+":1:1") {
		t.Errorf("mistakes of two files: %v", err)
	}
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	t.Setenv("RULESFILE_TEST_KEY", "from-the-environment")
	set, err := Load(folder(t, map[string]string{"a.yaml": "bots:\n  support: {key: \"${RULESFILE_TEST_KEY}\"}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if bot, _ := set.Bot("support"); bot.Key != "from-the-environment" {
		t.Errorf("key %q", bot.Key)
	}
}
