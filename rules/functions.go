package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// maxInput is the longest text that extract_json, capture and a computed pattern look at, and the longest that repeat,
// replace and join make, in bytes.
const maxInput = 512 << 10

var errInput = fmt.Errorf("the text is over %d KiB", maxInput>>10)

// disabled are functions of expr that read the machine: its time zones are files.
var disabled = []string{"timezone"}

// own are the functions that dgworker adds, or puts in the place of expr's. Of several signatures the longest is first,
// which is the one that expr's compiler counts arguments by.
var own = []function{
	// extract_json(text) is the first JSON object or list in a text (bots like to wrap them into words or a code block),
	// as a value; nil where there is none, or where the argument is not text.
	{"extract_json", one(extractJSON), sig(func(string) any { return nil })},
	// capture(text, pattern) is what the first group of the pattern matched, or the whole match where the pattern has no
	// group; "" where nothing matched, or where the text is nil. The pattern is RE2.
	{"capture", capture, sig(func(string, string) string { return "" })},
	// number(text) is the number that the text is, white space around it aside; nil where it is none. A number stays what
	// it is.
	{"number", one(toNumber), sig(func(any) any { return nil })},
	// now() is the event's time: the same on every evaluation. metering puts event.at in its place.
	{"now", func(...any) (any, error) { return nil, errors.New("now() has no arguments") }, sig(func() time.Time { return time.Time{} })},
	// date(text) and date(text, layout) read a time, in UTC where it names no zone. An error where it is none.
	{"date", date, sig(func(string, string) time.Time { return time.Time{} }, func(string) time.Time { return time.Time{} })},
	{"repeat", repeat, sig(strings.Repeat)},
	{"replace", replace, sig(strings.Replace, strings.ReplaceAll)},
	{"join", join, sig(func([]any, string) string { return "" }, func([]any) string { return "" },
		func([]string, string) string { return "" }, func([]string) string { return "" })},
	// uniq(list) is the list without what is in it already. metering puts __uniq in its place, which has the meter.
	{"uniq", func(...any) (any, error) { return nil, errors.New("uniq takes one list") }, sig(func(any) []any { return nil })},
}

// function is one of own.
type function struct {
	name  string
	call  func(args ...any) (any, error)
	types []reflect.Type
}

func sig(functions ...any) []reflect.Type {
	types := make([]reflect.Type, len(functions))
	for i, f := range functions {
		types[i] = reflect.TypeOf(f)
	}
	return types
}

// one makes a function of one argument.
func one(f func(any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) { return f(args[0]) }
}

// functions are the options that give an expression its functions.
func functions() []expr.Option {
	return []expr.Option{func(c *conf.Config) {
		for _, name := range disabled {
			c.Disabled[name] = true
		}
		for _, f := range own {
			c.Functions[f.name] = &builtin.Function{Name: f.name, Func: f.call, Types: f.types}
		}
		for _, f := range meters {
			c.Functions[f.Name] = f
		}
	}}
}

// functionNames are all functions that an expression may call.
var functionNames = sync.OnceValue(func() []string {
	names := []string{}
	for _, f := range own {
		names = append(names, f.name)
	}
	for _, name := range builtin.Names {
		if name != "timezone" {
			names = append(names, name)
		}
	}
	return names
})

func extractJSON(v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, nil
	}
	if len(s) > maxInput {
		return nil, errInput
	}
	// Each start is tried once; a decoder that fails has read on from its start, so the tries are few.
	for tries := 0; tries < 64; tries++ {
		i := strings.IndexAny(s, "{[")
		if i < 0 {
			return nil, nil
		}
		s = s[i:]
		var value any
		if json.NewDecoder(strings.NewReader(s)).Decode(&value) == nil {
			return value, nil
		}
		s = s[1:]
	}
	return nil, nil
}

func capture(args ...any) (any, error) {
	text, ok := args[0].(string)
	pattern, isText := args[1].(string)
	if !isText {
		return nil, fmt.Errorf("capture: the pattern is %s, not text", kindOfValue(args[1]))
	}
	if !ok {
		return "", nil
	}
	if len(text) > maxInput {
		return nil, errInput
	}
	re, err := patterns.get(pattern)
	if err != nil {
		return nil, err
	}
	m := re.FindStringSubmatch(text)
	switch len(m) {
	case 0:
		return "", nil
	case 1:
		return m[0], nil
	}
	return m[1], nil
}

func toNumber(v any) (any, error) {
	switch n := v.(type) {
	case string:
		n = strings.TrimSpace(n)
		if len(n) > 400 {
			return nil, nil
		}
		if i, err := strconv.Atoi(n); err == nil {
			return i, nil
		}
		if f, err := strconv.ParseFloat(n, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
		return nil, nil
	case json.Number:
		return toNumber(n.String())
	}
	if v == nil {
		return nil, nil
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return v, nil
	}
	return nil, nil
}

var layouts = []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "15:04:05", time.RFC1123Z, time.RFC1123, time.RFC850, time.RFC822}

func date(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("date: %s is not text", kindOfValue(args[0]))
	}
	if len(args) == 2 {
		layout, ok := args[1].(string)
		if !ok {
			return nil, fmt.Errorf("date: the layout is %s, not text", kindOfValue(args[1]))
		}
		return utc(time.ParseInLocation(layout, s, time.UTC))
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return utc(t, nil)
		}
	}
	return nil, fmt.Errorf("date: %q is not a time", clip(s, 60))
}

// utc drops the zone: which zone Go attaches depends on that of the machine.
func utc(t time.Time, err error) (any, error) {
	return t.UTC(), err
}

func repeat(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("repeat: %s is not text", kindOfValue(args[0]))
	}
	n := runtime.ToInt(args[1])
	if n < 0 || n > maxInput || len(s)*n > maxInput {
		return nil, fmt.Errorf("repeat makes from nothing to %d KiB", maxInput>>10)
	}
	return strings.Repeat(s, n), nil
}

func replace(args ...any) (any, error) {
	var texts [3]string
	for i := range texts {
		s, ok := args[i].(string)
		if !ok {
			return nil, fmt.Errorf("replace: %s is not text", kindOfValue(args[i]))
		}
		texts[i] = s
	}
	limit := -1
	if len(args) == 4 {
		limit = runtime.ToInt(args[3])
	}
	s, old, with := texts[0], texts[1], texts[2]
	n := strings.Count(s, old)
	if limit >= 0 {
		n = min(n, limit)
	}
	if n*(len(with)-len(old)) > maxInput {
		return nil, fmt.Errorf("replace makes at most %d KiB more", maxInput>>10)
	}
	return strings.Replace(s, old, with, limit), nil
}

func join(args ...any) (any, error) {
	glue := ""
	if len(args) == 2 {
		var ok bool
		if glue, ok = args[1].(string); !ok {
			return nil, fmt.Errorf("join: the separator is %s, not text", kindOfValue(args[1]))
		}
	}
	list := reflect.ValueOf(args[0])
	if !list.IsValid() || list.Kind() != reflect.Slice && list.Kind() != reflect.Array {
		return nil, fmt.Errorf("join: %s is not a list", kindOfValue(args[0]))
	}
	var b bytes.Buffer
	for i := range list.Len() {
		s, ok := list.Index(i).Interface().(string)
		if !ok {
			return nil, errors.New("join: the list has something that is not text")
		}
		if i > 0 {
			b.WriteString(glue)
		}
		b.WriteString(s)
		if b.Len() > maxInput {
			return nil, fmt.Errorf("join makes at most %d KiB", maxInput>>10)
		}
	}
	return b.String(), nil
}

// uniq is the function of that name. It compares each with each, so its work is the square of the length.
func uniq(args ...any) (any, error) {
	m := args[0].(*meter)
	list := reflect.ValueOf(args[1])
	if !list.IsValid() || list.Kind() != reflect.Slice && list.Kind() != reflect.Array {
		return nil, fmt.Errorf("uniq: %s is not a list", kindOfValue(args[1]))
	}
	m.spend(list.Len() * list.Len())
	all := []any{}
	for i := range list.Len() {
		v, there := list.Index(i).Interface(), false
		for _, seen := range all {
			if there = runtime.Equal(v, seen); there {
				break
			}
		}
		if !there {
			all = append(all, v)
		}
	}
	return all, nil
}
