package queue

import (
	"dgworker/rules"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestKeepRules(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	text := "bots:\n  support: {key: \"${SECRET}\"}\n"
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, func(string) (string, bool) { return "the-secret", true })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := q.KeepRules(b.ctx, set); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := OpenArchive(b.ctx, q.JetStream, "dgbot")
	if err != nil {
		t.Fatal(err)
	}
	v, err := archive.Version(b.ctx, set.Version())
	if err != nil || len(v.Files) != 1 || string(v.Files[0].Text) != text {
		t.Errorf("kept %+v, %v: want the text as it was, without the secret", v, err)
	}
	for { // until the clock has moved
		if err := q.KeepRules(b.ctx, set); err != nil {
			t.Fatal(err)
		}
		all, err := archive.Versions(b.ctx)
		if err != nil || len(all) != 1 || !all[0].First.Equal(v.First.Time) {
			t.Fatalf("versions %+v, %v: want the first use of %v", all, err, v.First)
		}
		if all[0].Last.After(v.Last.Time) {
			break
		}
	}
	if _, err := archive.Version(b.ctx, "0000000000000000"); err == nil {
		t.Error("a version that never was")
	}
}

// A set of many rules has more text than NATS takes in a message. It is kept all the same, and a text that can't be made small enough
// is refused with its sizes.
func TestKeepManyRules(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	q := b.open()
	var text strings.Builder
	text.WriteString("bots:\n  support: {key: k}\nrules:\n")
	for i := range 500 {
		fmt.Fprintf(&text, "  # %s\n  - {name: r%d, on: tool_action_result, actions: [{publish: a.b}]}\n", strings.Repeat("what it is for ", 200), i)
	}
	set := parsed(t, text.String())
	if int64(text.Len()) < q.Conn.MaxPayload() {
		t.Fatalf("%d bytes are too few for this test", text.Len())
	}
	archive, err := OpenArchive(b.ctx, q.JetStream, "dgbot")
	if err != nil {
		t.Fatal(err)
	}
	var first time.Time
	for n := range 2 {
		if err := q.KeepRules(b.ctx, set); err != nil {
			t.Fatal(err)
		}
		v, err := archive.Version(b.ctx, set.Version())
		if err != nil || len(v.Files) != 1 || string(v.Files[0].Text) != text.String() {
			t.Fatalf("kept %d files, %v: want the text as it was", len(v.Files), err)
		}
		if n == 0 {
			first = v.First.Time
		} else if !v.First.Equal(first) {
			t.Errorf("first use %s, was %s", v.First, first)
		}
	}
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	err = q.KeepRules(b.ctx, parsed(t, "bots:\n  support: {key: k}\n# "+hex.EncodeToString(noise)+"\n"))
	if err == nil || !strings.Contains(err.Error(), "max_payload") || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("noise was kept: %v", err)
	}
}

func parsed(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "rules.yaml", Text: []byte(text)}}, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return set
}
