package outbox

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"dgworker/sinks"
)

func TestRecordIsTrimmedFromTheOldest(t *testing.T) {
	t.Parallel()
	r := record{Delivery: delivery("refunds", "a1")}
	for range 10 {
		r = r.logged(time.Now(), time.Second, sinks.Verdict{Class: sinks.Retry, Status: 503, Excerpt: strings.Repeat("x", 1000)})
	}
	whole, err := r.encode(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name               string
		limit              int
		excerpts, attempts int
	}{
		{"all fits", len(whole), 10, 10},
		{"one excerpt too many", len(whole) - 1, 9, 10},
		{"half of the excerpts", len(whole) - 4900, 5, 10},
		{"no excerpt", len(whole) - 10100, 0, 10},
		{"no log but the last", 700, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data, err := r.encode(c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got record
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			excerpts := 0
			for _, a := range got.Attempts {
				if a.Excerpt != "" {
					excerpts++
				}
			}
			if len(data) > c.limit || excerpts != c.excerpts || (len(got.Attempts) != c.attempts && c.limit > 700) || got.last().N != 10 {
				t.Errorf("%d of %d bytes, %d excerpts, %d attempts, last is %d", len(data), c.limit, excerpts, len(got.Attempts), got.last().N)
			}
			if string(got.Delivery.Body) != `{"order":"1"}` {
				t.Errorf("the body is %q", got.Delivery.Body)
			}
		})
	}
	if _, err := r.encode(100); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a delivery that doesn't fit: %v", err)
	}
	if r.Attempts[0].Excerpt == "" {
		t.Error("trimming changed the record that it was asked to encode")
	}
}

func TestCutKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"äö", 3, "ä"}, {"ä", 1, ""}, {"\xff\xfe", 1, "\xff"}} {
		if got := cut(c.text, c.n); got != c.want {
			t.Errorf("cut(%q, %d) is %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := names{"acme.dg-bot"}
	if got := n.actionsStream(); got != "ACME_DG_BOT_ACTIONS" {
		t.Errorf("stream is %s", got)
	}
	for _, subject := range []string{n.action("e", "a", Todo), n.dead("e", "a")} {
		if e, a := n.parse(subject); e != "e" || a != "a" {
			t.Errorf("%s is read as %s, %s", subject, e, a)
		}
	}
}
