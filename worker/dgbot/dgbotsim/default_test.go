package dgbotsim

import "testing"

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	if _, err := ParseScript(DefaultYAML()); err != nil {
		t.Fatal(err)
	}
}
