package rules

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzParse feeds anything as a file: Parse never panics, and every problem is at a place of the file.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(example), settings, "rules: [", "a: &x [*x]", "? {a: b}\n: c", "rules:\n- {name: a, on: unknown, when: 'a ? b : c', actions: [{reply: '{{ x'}]}",
		inRule("    when: |2-\n       a\n      b"), "bots:\n  a:\n    key: \"\\u12\n  \\\n  x\"\n    secret: ${", "\xff\xfe", "webhooks: {a: {headers: {a: !!binary x}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Parse([]File{{Name: "r.yaml", Text: text}}, nil)
		if err == nil {
			set.Match(context.Background(), toolDone(), nil)
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 || problems.Error() == "" {
			t.Fatalf("the error is %v", err)
		}
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" {
				t.Fatalf("the problem is %+v, the file has %d lines", p, lines)
			}
		}
	})
}

// FuzzTemplate renders anything that was said at every place: nothing gets out of its place.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"", "a", "../..", "a\r\nb: c", "{{ prompt.id }}", "\xff\u2028\"", "a.b.*.>", "%2e%2e"} {
		f.Add(seed)
	}
	path, query, header, subject := oneAction(f, inPath), oneAction(f, inQuery), oneAction(f, inHeader), oneAction(f, inSubject)
	f.Fuzz(func(t *testing.T, x string) {
		action := func(s *Set) (a Action, ok bool) {
			d := s.Match(context.Background(), said(x), nil)[0]
			if d.Result != Fired {
				return a, false
			}
			return d.Actions[0], true
		}
		if a, ok := action(path); ok && (strings.Count(a.Path, "/") != 3 || strings.ContainsAny(a.Path, "?#\\ \r\n")) {
			t.Errorf("the path is %q", a.Path)
		}
		if a, ok := action(query); ok && (strings.Count(a.Query, "&") != 1 || strings.ContainsAny(a.Query, "# \r\n")) {
			t.Errorf("the query is %q", a.Query)
		}
		if a, ok := action(header); ok && strings.ContainsAny(a.Headers["X-A"], "\r\n\x00") {
			t.Errorf("the header is %q", a.Headers)
		}
		if a, ok := action(subject); ok && (strings.Count(a.Subject, ".") != 2 || strings.ContainsAny(a.Subject, "*> \t\r\n\x00")) {
			t.Errorf("the subject is %q", a.Subject)
		}
	})
}

// Files made to hurt are refused soon, and in few words. (The YAML library's own error text would print the whole file,
// in quadratic time.)
func TestHostileFilesAreRefusedSoon(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"rules: " + strings.Repeat("{a: ", 20_000), "rules: " + strings.Repeat("- ", 20_000), "rules: " + strings.Repeat(`"\`, 20_000),
		"a: &x " + strings.Repeat("!t ", 20_000), strings.Repeat("? ", 20_000), strings.Repeat("a", maxFile+1),
		`"` + strings.Repeat("k", 20_000) + `": 1`,
	} {
		_, err := Parse([]File{{Name: "r.yaml", Text: []byte(text)}}, nil)
		if err == nil || len(err.Error()) > 5000 {
			t.Errorf("%.20s…: the error is %.5000v", text, err)
		}
	}
}
