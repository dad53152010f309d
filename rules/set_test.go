package rules

import (
	"os"
	"testing"
)

func TestExampleIsAccepted(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse([]File{{Name: "rules.example.yaml", Text: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.Summary(), "rules.example.yaml: 6 rules, 1 bot, 1 webhook, 1 trigger: all right"; got != want {
		t.Errorf("summary is %q, want %q", got, want)
	}
}
