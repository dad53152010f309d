package ruletest

import (
	"errors"

	"dgworker/rules"
)

// standIns are what an unset variable may stand for where rules are only tried out: a signing secret that is nobody's,
// an address, a number, a time, a host, a network.
var standIns = []string{
	"whsec_c3RhbmQtaW4tb2YtYW4tdW5zZXQtdmFyaWFibGUtMDA=", "whsec_c3RhbmQtaW4tb2YtYW4tdW5zZXQtdmFyaWFibGUtMDE=", // two, for a rotation
	"https://unset.invalid/", "wss://unset.invalid/", "10", "10s", "unset.invalid", "127.0.0.0/8",
}

// ParseOffline compiles rules that are only tried out. A variable of the environment that isn't set and has no default
// is given a stand-in, since rules can't see it and nothing is sent: so a version of rules that a worker used can be
// replayed by somebody who has none of its secrets. Every other mistake is a mistake.
func ParseOffline(files []rules.File, lookup func(string) (string, bool)) (*rules.Set, error) {
	given := map[string]string{}
	var unset []string
	find := func(name string) (string, bool) {
		if v, ok := lookup(name); ok {
			return v, true
		}
		v, ok := given[name]
		if _, seen := given[name]; !seen {
			given[name] = ""
			unset = append(unset, name)
		}
		return v, ok && v != ""
	}
	set, err := rules.Parse(files, find)
	mistakes := countOf(err)
	for i := 0; i < len(unset) && mistakes > 0; i++ {
		best := ""
		for _, v := range standIns {
			given[unset[i]] = v
			if _, tried := rules.Parse(files, find); countOf(tried) < mistakes {
				best, mistakes = v, countOf(tried)
			}
		}
		given[unset[i]] = best
		set, err = rules.Parse(files, find)
	}
	return set, err
}

func countOf(err error) int {
	var problems rules.Problems
	if errors.As(err, &problems) {
		return len(problems)
	}
	return 0
}
