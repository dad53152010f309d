package rules

import (
	"os"
	"testing"
)

func TestExampleFires(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse([]File{{Name: "rules.example.yaml", Text: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ds := decide(t, set, toolDone())
	for _, d := range ds {
		t.Logf("%+v", d)
		for _, a := range d.Actions {
			t.Logf("%+v %s", a, a.Body)
		}
	}
}
