package ruletest_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What is tried out here can reach no receiver: neither this package nor what it imports of this project knows how.
func TestNothingHereReachesASink(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		inside, ours := strings.CutPrefix(path, "dgworker/rules")
		for _, forbidden := range []string{"dgworker/", "github.com/nats-io/", "github.com/gorilla/", "net/http/httptest"} {
			if !ours && strings.HasPrefix(path, forbidden) {
				t.Errorf("it depends on %s", path)
			}
		}
		if !ours || seen[path] {
			return
		}
		seen[path] = true
		files, err := filepath.Glob(filepath.Join("..", inside, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files of %s: %v", path, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				visit(path)
			}
		}
	}
	visit("dgworker/rules/ruletest")
	if !seen["dgworker/rules"] {
		t.Error("this package was not looked at as it should")
	}
}
