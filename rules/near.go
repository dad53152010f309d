package rules

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean is the hint for a name that is not among known: the nearest one where it is near enough to be a slip, or
// else, where they are few, the known names.
func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 || len(known) > 12 {
		return ""
	}
	return "known here: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// nearest is the known name with the fewest edits from name, if these are at most a third of its length (and at least
// one edit is always forgiven).
func nearest(name string, known []string) string {
	best, edits := "", 1+len(name)/3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if abs(len(k)-len(name)) > edits {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < edits || d == edits && best == "" {
			best, edits = k, d
		}
	}
	return best
}

func abs(n int) int {
	return max(n, -n)
}

// distance is the number of inserted, deleted, replaced or swapped neighbouring characters between a and b.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}
