package rules

import (
	"fmt"
	"regexp"
	"strings"
)

var keyValue = regexp.MustCompile(`^([\s-]*[{,]?\s*"?([A-Za-z_]+)"?:\s+)(\S.*)$`)

// accident looks at the line of a syntax error (or the one before it, where YAML noticed late) for what YAML does to
// people: {{ without quotes, ? : and ": " in an expression, a quoted string that goes on after its quote.
func (p *parser) accident(at position) (position, string, string) {
	for n := at.line; n >= max(1, at.line-1); n-- {
		m := keyValue.FindStringSubmatch(string(p.src.line(n)))
		if m == nil || strings.TrimSpace(m[3]) == "" {
			continue
		}
		key, value := m[2], strings.TrimSpace(m[3])
		why := accidentIn(value)
		if why == "" {
			continue
		}
		where := position{n, len([]rune(m[1])) + 1}
		hint := "quote this: " + key + ": " + quote(value)
		if open := strings.Index(value, "{{"); open > 0 && (value[0] == '{' || value[0] == '[') {
			where.column += len([]rune(value[:open]))
			inner, _ := placeholder(value[open+2:])
			hint = `quote this: "{{` + inner + `}}"`
		}
		if confidential.MatchString(key + ":" + value) {
			hint = "quote this"
		}
		return where, why, hint
	}
	return at, "", ""
}

// accidentIn says why YAML doesn't read value as text; "" where it isn't one of the usual accidents.
func accidentIn(value string) string {
	first := value[0]
	switch {
	case strings.HasPrefix(value, "{{"):
		return "YAML reads {{ as the start of a map"
	case first != '"' && first != '\'' && strings.Contains(value, "{{"):
		return "YAML reads {{ here as the start of a map"
	case strings.HasPrefix(value, "${") || first == '{' && strings.Contains(value, "${"):
		return "YAML reads { here as the start of a map"
	case first == '"' || first == '\'':
		if end := strings.IndexByte(value[1:], first); end >= 0 {
			if rest := strings.TrimSpace(value[end+2:]); rest != "" && rest[0] != '#' && rest[0] != ',' && rest[0] != '}' && rest[0] != first {
				return "YAML ends the text at the second quote, and there is more"
			}
		}
	case strings.Contains(value, " ? ") && strings.Contains(value, ": "):
		return "YAML reads `: ` as a key and its value, also in an expression with ? :"
	case strings.Contains(value, ": ") && first != '{' && first != '[':
		return "YAML reads `: ` as a key and its value"
	case strings.ContainsRune("@`%", rune(first)):
		return fmt.Sprintf("YAML reads %c at the start as something of its own", first)
	}
	return ""
}

// quote writes s as a single-quoted YAML scalar.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
