package ruletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"dgworker/rules"
)

// got is something that a rule did: one action, or one decision without any.
type got struct {
	event    rules.Event
	n        int
	decision rules.Decision
	action   *rules.Action
}

// differences says what of g is not as w wants it, a line each; nil where all is.
func (w *want) differences(g *got) []string {
	d := differ{}
	d.text("event", string(w.event), string(g.event.Type))
	if w.n > 0 && w.n != g.n {
		d.add("n", fmt.Sprint(w.n), fmt.Sprint(g.n))
	}
	d.text("why", string(w.why), string(g.decision.Result))
	if !w.until.IsZero() && !w.until.Equal(g.decision.Until) {
		d.add("until", w.until.UTC().Format(rules.TimeFormat), g.decision.Until.UTC().Format(rules.TimeFormat))
	}
	if !strings.Contains(g.decision.Reason, w.reason) {
		d.add("reason", strconv.Quote(w.reason), strconv.Quote(g.decision.Reason))
	}
	if w.one && g.action != nil {
		w.compareAction(&d, g.action)
	}
	return d.lines
}

func (w *want) compareAction(d *differ, a *rules.Action) {
	d.text("action", string(w.kind), string(a.Kind))
	d.text("endpoint", w.endpoint, a.Endpoint)
	d.text("method", w.method, a.Method)
	d.text("subject", w.subject, a.Subject)
	d.exact("path", w.path, a.Path)
	d.exact("query", w.query, a.Query)
	d.exact("text", w.text, a.Text)
	for _, name := range slices.Sorted(maps.Keys(w.headers)) {
		if v, there := header(a.Headers, name); !there || v != w.headers[name] {
			d.add("headers."+name, strconv.Quote(w.headers[name]), quotedOrNothing(v, there))
		}
	}
	if w.hasBody {
		d.body("body", w.body, a.Body, false)
	}
	if w.hasBodyHas {
		d.body("body_has", w.bodyHas, a.Body, true)
	}
}

func header(headers map[string]string, name string) (string, bool) {
	for n, v := range headers {
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return "", false
}

func quotedOrNothing(s string, there bool) string {
	if !there {
		return "nothing"
	}
	return strconv.Quote(s)
}

// differ collects differences between two things, by default one that is wanted and one that was got.
type differ struct {
	lines       []string
	left, right string
}

func (d *differ) add(name, want, got string) {
	left, right := firstOf(d.left, "want"), firstOf(d.right, "got")
	if len(want)+len(got) > 60 { // one under the other shows where they part
		width := max(len(left), len(right))
		d.lines = append(d.lines, fmt.Sprintf("%s:\n  %-*s %s\n  %-*s %s", name, width, left, want, width, right, got))
		return
	}
	d.lines = append(d.lines, fmt.Sprintf("%s: %s %s, %s %s", name, left, want, right, got))
}

// text compares text where any is wanted.
func (d *differ) text(name, want, got string) {
	if want != "" && want != got {
		d.add(name, strconv.Quote(want), strconv.Quote(got))
	}
}

func (d *differ) exact(name string, want *string, got string) {
	if want != nil && *want != got {
		d.add(name, strconv.Quote(*want), strconv.Quote(got))
	}
}

// body compares a body with what is wanted of it: as JSON, or, where text is wanted, as it stands.
func (d *differ) body(name string, want any, raw []byte, part bool) {
	if s, isText := want.(string); isText && s == string(raw) {
		return
	}
	value, err := asJSON(raw)
	if err != nil {
		d.add(name, jsonOf(want), strconv.Quote(string(raw)))
		return
	}
	d.value(name, want, value, part)
}

// value compares two JSON values. Where part is true a map may have keys that are not wanted.
func (d *differ) value(name string, want, got any, part bool) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			d.maps(name, w, g, part)
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				d.value(fmt.Sprintf("%s[%d]", name, i), w[i], g[i], part)
			}
			return
		}
	}
	if !same(want, got) {
		d.add(name, jsonOf(want), jsonOf(got))
	}
}

func (d *differ) maps(name string, want, got map[string]any, part bool) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if g, there := got[key]; there {
			d.value(name+"."+key, want[key], g, part)
		} else {
			d.add(name+"."+key, jsonOf(want[key]), "nothing")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, wanted := want[key]; !wanted && !part {
			d.add(name+"."+key, "nothing", jsonOf(got[key]))
		}
	}
}

// same compares numbers by value, whatever their form.
func same(a, b any) bool {
	x, isNumber := number(a)
	y, areBoth := number(b)
	if isNumber && areBoth {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func jsonOf(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

// pair finds for each of n the one of m that it goes with, no two the same, so that as many as possible have one; -1
// where there is none. It is Kuhn's algorithm for matchings in a bipartite graph: entries that would fit several must
// not take what another one needs.
func pair(n, m int, fits func(i, j int) bool) []int {
	taken := make([]int, m)
	for j := range taken {
		taken[j] = -1
	}
	var try func(i int, seen []bool) bool
	try = func(i int, seen []bool) bool {
		for j := range m {
			if seen[j] || !fits(i, j) {
				continue
			}
			seen[j] = true
			if taken[j] < 0 || try(taken[j], seen) {
				taken[j] = i
				return true
			}
		}
		return false
	}
	for i := range n {
		try(i, make([]bool, m))
	}
	pairs := make([]int, n)
	for i := range pairs {
		pairs[i] = slices.Index(taken, i)
	}
	return pairs
}
