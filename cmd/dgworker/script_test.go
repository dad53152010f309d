package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run dgworker as a process: this test binary under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dgworker": main})
}

// TestScripts plays the command line as people type it. A script is a file in testdata: commands, what they print, and the
// files that they read.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			example, err := os.ReadFile("../../rules.example.yaml")
			if err != nil {
				return err
			}
			files := readmeFiles(t)
			files["example.yaml"] = string(example)
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// readmeFiles are the YAML files that the README shows: rules, and a fixture for them.
func readmeFiles(t *testing.T) map[string]string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		name := "readme-rules.yaml"
		if strings.HasPrefix(block[1], "rules: rules.yaml") {
			name = "readme-tests.yaml"
		}
		files[name] = block[1]
	}
	return files
}

// exits N COMMAND… runs dgworker and wants that exit code. What it prints is for stdout and stderr, as of exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE args…")
	}
	err := ts.Exec("dgworker", args[1:]...)
	if got := exitCodeOf(err); got != args[0] {
		ts.Fatalf("dgworker %v: exit code %s, want %s", args[1:], got, args[0])
	}
}

func exitCodeOf(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit):
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}
