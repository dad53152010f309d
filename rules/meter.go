package rules

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"sync"
	"time"

	"github.com/expr-lang/expr/builtin"
)

// The budgets of one evaluation. expr has a budget of memory of its own, counted in elements of lists and maps, but
// neither its loops nor its text count towards it, and nothing can interrupt it. So loops and whatever grows or walks a
// value are metered: metering puts a payment in front of each. What a single file can ask for outside of loops is
// bounded by its length and needs no meter, which keeps the usual rule as fast as it is.
const (
	memoryBudget = 250_000  // elements of lists and maps
	workBudget   = 16 << 20 // bytes looked at or made, and tickCost for each turn of a loop
	tickCost     = 16
)

var errWork = errors.New("it is too much work: its loops, or the values it builds, are too large")

// meter counts down the work that an evaluation has left.
type meter struct{ left int }

// spend takes n and panics where that is too much; the evaluation turns it into an error.
func (m *meter) spend(n int) {
	if n < 0 || n > m.left {
		m.left = 0
		panic(errWork)
	}
	m.left -= n
}

// pay takes the size of a value and all within it.
func (m *meter) pay(v any) {
	switch v := v.(type) {
	case nil, bool, int, float64, time.Time, time.Duration:
		m.spend(1)
	case string:
		m.spend(1 + len(v))
	case []any:
		m.spend(1 + len(v))
		for _, x := range v {
			m.pay(x)
		}
	case map[string]any:
		m.spend(1 + len(v))
		for k, x := range v {
			m.spend(len(k))
			m.pay(x)
		}
	default:
		m.payOther(reflect.ValueOf(v))
	}
}

func (m *meter) payOther(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		m.spend(1 + v.Len())
	case reflect.Slice, reflect.Array:
		m.spend(1 + v.Len())
		switch v.Type().Elem().Kind() {
		case reflect.String, reflect.Interface, reflect.Map, reflect.Slice, reflect.Struct, reflect.Pointer:
			for i := range v.Len() {
				m.pay(v.Index(i).Interface())
			}
		}
	case reflect.Map:
		m.spend(1 + v.Len())
		for it := v.MapRange(); it.Next(); {
			m.pay(it.Key().Interface())
			m.pay(it.Value().Interface())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				m.pay(v.Field(i).Interface())
			}
		}
	default:
		m.spend(1)
	}
}

// The functions that metering calls. Their names begin with two underscores, which no author can write.
var meters = []*builtin.Function{
	{Name: "__tick", Types: sig(func(*meter) bool { return true }), Func: func(args ...any) (any, error) {
		args[0].(*meter).spend(tickCost)
		return true, nil
	}},
	{Name: "__pay", Func: func(args ...any) (any, error) {
		args[0].(*meter).pay(args[1])
		return args[1], nil
	}, Validate: typeOfSecond},
	{Name: "__payText", Func: func(args ...any) (any, error) {
		if s, ok := args[1].(string); ok {
			args[0].(*meter).spend(len(s))
		}
		return args[1], nil
	}, Validate: typeOfSecond},
	{Name: "__matches", Types: sig(func(*meter, any, any) bool { return true }), Func: matches},
	{Name: "__uniq", Types: sig(func(*meter, any) []any { return nil }), Func: uniq},
}

// typeOfSecond is the type of a payment: that of what was paid for.
func typeOfSecond(args []reflect.Type) (reflect.Type, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("a payment takes 2 arguments, not %d", len(args))
	}
	return args[1], nil
}

// matches is the operator of that name where the pattern is computed: compiled here, small, and on bounded text.
func matches(args ...any) (any, error) {
	if args[1] == nil || args[2] == nil {
		return false, nil
	}
	text, ok := args[1].(string)
	pattern, isText := args[2].(string)
	if !ok || !isText {
		return nil, fmt.Errorf("matches compares text, not %s with %s", kindOfValue(args[1]), kindOfValue(args[2]))
	}
	if len(text) > maxInput {
		return nil, errInput
	}
	m := args[0].(*meter)
	m.spend(len(text) + 64*len(pattern))
	re, err := patterns.get(pattern)
	if err != nil {
		return nil, err
	}
	return re.MatchString(text), nil
}

// patternCache keeps compiled patterns of capture and of computed matches. It is emptied when it is full, so patterns
// that come with the data can't fill the memory.
type patternCache struct {
	mu  sync.RWMutex
	all map[string]*regexp.Regexp
}

var patterns = &patternCache{all: map[string]*regexp.Regexp{}}

func (c *patternCache) get(pattern string) (*regexp.Regexp, error) {
	c.mu.RLock()
	re := c.all[pattern]
	c.mu.RUnlock()
	if re != nil {
		return re, nil
	}
	re, err := compilePattern(pattern)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= 1000 {
		clear(c.all)
	}
	c.all[pattern] = re
	return re, nil
}
