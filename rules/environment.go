package rules

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	// variable is ${NAME} or ${NAME:default}; the default has no closing brace.
	variable = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}|\$\{`)
	// variableAlone is a setting that is nothing but a variable: showing it gives nothing away.
	variableAlone = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)
	// named is what looks like a variable where none can stand.
	named = regexp.MustCompile(`(^|[^$])\$\{[A-Za-z_][A-Za-z0-9_]*(:[^}]*)?\}`)
)

// expand puts the environment into a setting: ${NAME} and ${NAME:default}; $${ stands for ${ itself.
func (p *parser) expand(t text) (text, bool) {
	if !strings.Contains(t.value, "${") {
		return t, true
	}
	var b strings.Builder
	last, ok := 0, true
	for _, m := range variable.FindAllStringSubmatchIndex(t.value, -1) {
		b.WriteString(t.value[last:m[0]])
		last = m[1]
		if t.value[m[0]:m[1]] == "$${" {
			b.WriteString("${")
			continue
		}
		value, good := p.variable(t, m)
		b.WriteString(value)
		ok = ok && good
	}
	b.WriteString(t.value[last:])
	t.value, t.expanded = b.String(), true
	return t, ok
}

// variable is the value of the variable that m found in t.
func (p *parser) variable(t text, m []int) (string, bool) {
	at := t.at(utf8.RuneCountInString(t.value[:m[0]]))
	if m[2] < 0 {
		p.problem(at, "write ${NAME}, ${NAME:default}, or $${ for ${ itself", "${ without a variable's name")
		return "", false
	}
	name := t.value[m[2]:m[3]]
	if p.lookup != nil {
		if v, set := p.lookup(name); set {
			return v, true
		}
	}
	if m[4] >= 0 {
		return t.value[m[4]:m[5]], true
	}
	p.problem(at, "set it, or give a default: ${"+name+":…}", "the environment variable %s is not set", name)
	return "", false
}

// refuseVariables reports ${NAME} in rules, where the environment is not read: what a rule says must be the same on
// every worker, and its text is kept as it stands.
func (p *parser) refuseVariables(t text) {
	if m := named.FindStringIndex(t.value); m != nil {
		i := m[0] + strings.Index(t.value[m[0]:], "${")
		p.problem(t.at(utf8.RuneCountInString(t.value[:i])), "write $${ for ${ itself",
			"the environment is read in bots and webhooks only")
	}
}
