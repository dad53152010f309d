package worker

import (
	"testing"

	"go.uber.org/goleak"

	"dgworker/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compiled is the rule set of text, which begins with its bots.
func compiled(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("rules of the test: %v", err)
	}
	return set
}
