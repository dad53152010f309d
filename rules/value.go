package rules

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// text reads a scalar that is text. In settings the environment is put in.
func (p *parser) text(e entry) (text, bool) {
	return p.scalar(e, false)
}

// secret reads text that no message and no shown line may have in it.
func (p *parser) secret(e entry) (text, bool) {
	return p.scalar(e, true)
}

func (p *parser) scalar(e entry, secret bool) (text, bool) {
	t := text{src: p.src, start: p.placeOr(e), secret: secret}
	switch n := e.value.(type) {
	case *ast.StringNode:
		t.value, t.style = n.Value, styleOf(n)
	case *ast.LiteralNode:
		t.value, t.style = n.Value.Value, block
	default:
		hint := p.oddNode(e.value)
		if hint == "" && isPlainScalar(e.value) {
			hint = "quote this: " + quote(e.value.GetToken().Value)
		}
		if secret {
			p.hideNode(e.value)
			hint = "quote this"
		}
		p.problem(t.start, hint, "%s is text, not %s", e.key, kindOf(e.value))
		return t, false
	}
	if secret && !variableAlone.MatchString(t.value) {
		p.hideNode(e.value)
	}
	if !p.settings {
		p.refuseVariables(t)
		return t, true
	}
	return p.expand(t)
}

// hideNode keeps a secret's place in the file from being shown.
func (p *parser) hideNode(n ast.Node) {
	if n == nil {
		return
	}
	at, origin := p.place(n), strings.TrimSpace(n.GetToken().Origin)
	if lit, ok := n.(*ast.LiteralNode); ok {
		origin = "|\n" + strings.TrimSpace(lit.Value.GetToken().Origin)
	}
	if _, scalar := n.(ast.ScalarNode); !scalar {
		origin = string(p.src.line(at.line))
	}
	p.src.hide(at, len([]rune(firstLine(origin))), strings.Count(origin, "\n"))
}

func isPlainScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

func styleOf(n *ast.StringNode) style {
	switch origin := strings.TrimSpace(n.Token.Origin); {
	case strings.HasPrefix(origin, `"`):
		return doubleQuoted
	case strings.HasPrefix(origin, "'"):
		return singleQuoted
	}
	return plain
}

// literal reads text in which no placeholder may stand.
func (p *parser) literal(e entry) (text, bool) {
	t, ok := p.text(e)
	if ok && strings.Contains(t.value, "{{") {
		p.problem(t.start, "", "%s is literal: no {{ }} here", e.key)
		return t, false
	}
	return t, ok
}

// shown gives a value for a message, but never one that may be a secret.
func (t text) shown() string {
	if t.secret || t.expanded || len(t.value) > 100 {
		return "the value"
	}
	return strconv.Quote(t.value)
}

// oneOf reads one of a few words.
func (p *parser) oneOf(e entry, into *string, words ...string) {
	t, ok := p.literal(e)
	if !ok {
		return
	}
	for _, w := range words {
		if t.value == w {
			*into = w
			return
		}
	}
	hint := ""
	if near := nearest(t.value, words); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	p.problem(t.start, hint, "%s is %s, not %s", e.key, alternatives(words), t.shown())
}

func alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// checkName reports what is wrong with a name; what says whose it is.
func (p *parser) checkName(name string, at position, what string) bool {
	if isName(name) {
		return true
	}
	p.problem(at, "", "a name of %s is 1 to 64 of A-Z a-z 0-9 _ and -, not %q", what, clip(name, 80))
	return false
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// yes reads true or false.
func (p *parser) yes(e entry, into *bool) {
	if b, ok := e.value.(*ast.BoolNode); ok {
		*into = b.Value
		return
	}
	p.problem(p.placeOr(e), "", "%s is true or false, not %s", e.key, kindOf(e.value))
}

// written reads a scalar that is a number or, where it has a unit or comes from the environment, text.
func (p *parser) written(e entry) (text, bool) {
	switch n := e.value.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return text{value: n.GetToken().Value, src: p.src, start: p.place(n)}, true
	}
	t, ok := p.text(e)
	t.value = strings.TrimSpace(t.value)
	return t, ok
}

// number reads a whole number between least and most.
func (p *parser) number(e entry, into *int, least, most int) {
	t, ok := p.written(e)
	if !ok {
		return
	}
	n, err := strconv.Atoi(t.value)
	if _, isText := e.value.(*ast.StringNode); err != nil || isText && !t.expanded {
		p.problem(t.start, "", "%s is a whole number such as %d, not %s", e.key, max(least, 1), t.shown())
		return
	}
	if n < least || n > most {
		p.problem(t.start, "", "%s is from %d to %d", e.key, least, most)
		return
	}
	*into = n
}

var sizeForm = regexp.MustCompile(`^(\d{1,12})\s*(B|KiB|MiB|GiB|KB|MB|GB)?$`)

// size reads a number of bytes: 65536, 512KiB, 1MiB, 1MB.
func (p *parser) size(e entry, into *int, least, most int) {
	t, ok := p.written(e)
	if !ok {
		return
	}
	m := sizeForm.FindStringSubmatch(t.value)
	if m == nil {
		p.problem(t.start, "", "%s is a size such as 65536, 512KiB or 1MiB, not %s", e.key, t.shown())
		return
	}
	unit := map[string]int{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9}[m[2]]
	n, _ := strconv.Atoi(m[1])
	if n > most/unit || n*unit < least {
		p.problem(t.start, "", "%s is from %s to %s", e.key, sizeText(least), sizeText(most))
		return
	}
	*into = n * unit
}

// sizeText writes a size with the unit it is round in.
func sizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%d", n)
}

// duration reads a time such as 500ms, 30s, 5m, 2h or 7d between least and most.
func (p *parser) duration(e entry, into *time.Duration, least, most time.Duration) bool {
	t, ok := p.written(e)
	if !ok {
		return false
	}
	d, err := parseDuration(t.value)
	switch {
	case err != nil:
		p.problem(t.start, "", "%s is a duration such as 500ms, 30s, 5m, 2h or 7d, not %s", e.key, t.shown())
	case d < 0:
		p.problem(t.start, "", "%s can't be negative", e.key)
	case d < least && d == 0:
		p.problem(t.start, "", "%s can't be zero", e.key)
	case d < least || d > most:
		p.problem(t.start, "", "%s is from %s to %s", e.key, shortly(least), shortly(most))
	default:
		*into = d
		return true
	}
	return false
}

// parseDuration is time.ParseDuration and days, since operations people write 7d.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || math.Abs(n) > 36500 || math.IsNaN(n) {
			return 0, fmt.Errorf("parse duration %q: not a number of days", s)
		}
		return time.Duration(n * float64(24*time.Hour)), nil
	}
	return time.ParseDuration(s)
}

// shortly writes a duration without its zero minutes and seconds.
func shortly(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// share reads a part of a whole: 0.5 or 50%.
func (p *parser) share(e entry, into *float64, zero bool) {
	t, ok := p.written(e)
	if !ok {
		return
	}
	number, percent := strings.CutSuffix(t.value, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		n /= 100
	}
	switch {
	case err != nil || math.IsNaN(n):
		p.problem(t.start, "", "%s is a share such as 0.5 or 50%%, not %s", e.key, t.shown())
	case n < 0 || n > 1 || n == 0 && !zero:
		p.problem(t.start, "", "%s is from 0 to 1", e.key)
	default:
		*into = n
	}
}

var rateForm = regexp.MustCompile(`^(\d{1,9}(?:\.\d{1,9})?)(?:\s*/\s*(s|m|h))?$`)

// rate reads how many a second: 10, 0.5, 10/s, 30/m or 100/h.
func (p *parser) rate(e entry, into *float64) {
	t, ok := p.written(e)
	if !ok {
		return
	}
	m := rateForm.FindStringSubmatch(t.value)
	if m == nil {
		p.problem(t.start, "", "%s is a rate such as 10/s, 30/m or 100/h, not %s", e.key, t.shown())
		return
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	if n == 0 {
		p.problem(t.start, "leave the key out for no limit", "%s can't be zero", e.key)
		return
	}
	*into = n / map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[m[2]]
}
