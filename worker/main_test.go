package worker

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"dgworker/rules"
)

// TestMain runs more tests at once than there are processors: they wait for a quiet bot most of their time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
}

// compiled is the rule set of text, which begins with its bots.
func compiled(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("rules of the test: %v", err)
	}
	return set
}
