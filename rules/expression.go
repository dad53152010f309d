package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	exprparser "github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

const (
	maxExpression = 8 << 10 // characters of one expression
	maxNodes      = 2000    // of its syntax tree
)

// expression is one compiled expression. Its source and syntax tree stay at hand: the index is read from the tree, and
// an explanation of a false `when` walks it clause by clause.
type expression struct {
	source  string
	tree    ast.Node // as it was written; the program was compiled from a copy of its own
	program *vm.Program
}

// scope is what an expression runs over: the facts, and the meter of its work under a name that no author can write.
type scope struct {
	Event        eventFacts   `expr:"event"`
	Response     Response     `expr:"response"`
	Turn         Turn         `expr:"turn"`
	Conversation Conversation `expr:"conversation"`
	Prompt       Prompt       `expr:"prompt"`
	Meter        *meter       `expr:"__meter"`
}

// eventFacts is an Event whose type is plain text: expr doesn't compare named string types with strings.
type eventFacts struct {
	Type      string         `expr:"type"`
	At        time.Time      `expr:"at"`
	Tool      string         `expr:"tool"`
	Status    string         `expr:"status"`
	Message   string         `expr:"message"`
	Content   string         `expr:"content"`
	AgentName string         `expr:"agent_name"`
	Raw       map[string]any `expr:"raw"`
}

func newScope(f *Facts, m *meter) scope {
	e := f.Event
	return scope{
		Event:    eventFacts{string(e.Type), e.At, e.Tool, e.Status, e.Message, e.Content, e.AgentName, e.Raw},
		Response: f.Response, Turn: f.Turn, Conversation: f.Conversation, Prompt: f.Prompt, Meter: m,
	}
}

// fault is the mistake in an expression, at the index-th character of its source.
type fault struct {
	index   int
	message string
	hint    string
}

// compile checks and compiles an expression for a rule's `on`. want is reflect.Bool for a condition and
// reflect.Invalid where any value will do.
func compile(source string, on []EventType, want reflect.Kind) (x *expression, f *fault) {
	defer func() {
		if r := recover(); r != nil {
			x, f = nil, &fault{message: fmt.Sprintf("the expression can't be read: %v", r)}
		}
	}()
	if strings.TrimSpace(source) == "" {
		return nil, &fault{message: "the expression is empty"}
	}
	if utf8.RuneCountInString(source) > maxExpression {
		return nil, &fault{message: fmt.Sprintf("an expression has at most %d characters", maxExpression)}
	}
	if !utf8.ValidString(source) {
		return nil, &fault{message: "the expression is not valid UTF-8"}
	}
	tree, err := exprparser.Parse(source)
	if err != nil {
		return nil, faultOf(err, source)
	}
	if f := check(tree.Node, on); f != nil {
		return nil, f
	}
	program, err := expr.Compile(source, options(seenBy(on).env, want)...)
	if err != nil {
		return nil, faultOf(err, source)
	}
	return &expression{source: source, tree: tree.Node, program: program}, nil
}

func options(env any, want reflect.Kind) []expr.Option {
	all := append([]expr.Option{expr.Env(env), expr.MaxNodes(maxNodes * 10), expr.Patch(metering{})}, functions()...)
	if want == reflect.Bool {
		return append(all, expr.AsBool())
	}
	return append(all, expr.AsAny())
}

// faultOf takes the position and the plain message out of expr's error.
func faultOf(err error, source string) *fault {
	var located *file.Error
	if !errors.As(err, &located) {
		if got, ok := strings.CutPrefix(err.Error(), "expected bool, but got "); ok {
			return &fault{message: "a condition is true or false, and this is " + plainType(got)}
		}
		return &fault{message: err.Error()}
	}
	f := &fault{index: min(located.From, utf8.RuneCountInString(source)), message: plainMessage(located.Message)}
	if name, ok := strings.CutPrefix(located.Message, "unknown name "); ok {
		f.hint = didYouMean(name, functionNames())
	}
	if located.Message == "invalid char escape" {
		f.hint = "in an expression's string a backslash is written twice, or the string stands between backticks"
	}
	return f
}

// plainMessage replaces the names that Go gives to types by those of the files.
func plainMessage(s string) string {
	return strings.NewReplacer(
		"map[string]interface {}", "map", "map[string]string", "map", "[]interface {}", "list",
		"interface {}", "any value", "time.Time", "time", "time.Duration", "duration",
		"rules.eventFacts", "event", "rules.triggerFacts", "event", "rules.Response", "response", "rules.Turn", "turn",
		"rules.Conversation", "conversation", "rules.Prompt", "prompt",
	).Replace(s)
}

func plainType(s string) string {
	switch s = plainMessage(s); s {
	case "int", "float64":
		return "a number"
	case "string":
		return "text"
	case "any value", "nil":
		return s
	}
	return "a " + s
}

// machine is a virtual machine with its meter, reused: making one costs more than most expressions.
type machine struct {
	vm    vm.VM
	meter meter
}

var machines = sync.Pool{New: func() any { return &machine{vm: vm.VM{MemoryBudget: memoryBudget}} }}

// evaluation runs expressions over the facts of one occasion. It is made once for each event and given back.
type evaluation struct {
	*machine
	env any // a scope, by value: the fastest form there is
	at  time.Time
	bot string

	limits limits // of the action that is being rendered
}

// limits bound what is rendered, in bytes.
type limits struct{ header, body int }

var usual = limits{maxHeader, maxBody}

func begin(f *Facts) evaluation {
	m := machines.Get().(*machine)
	return evaluation{machine: m, env: newScope(f, &m.meter), at: f.Event.At, bot: f.Prompt.Bot, limits: usual}
}

func (e *evaluation) end() {
	clear(e.vm.Stack[:cap(e.vm.Stack)])
	clear(e.vm.Variables)
	machines.Put(e.machine)
	e.machine = nil
}

// run evaluates x. Its error says what was wrong in words for the decision's reason.
func (e *evaluation) run(x *expression) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, fmt.Errorf("%s: %v", x.short(), r)
			e.vm = vm.VM{MemoryBudget: memoryBudget}
		}
	}()
	e.meter.left = workBudget
	value, err = e.vm.Run(x.program, e.env)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", x.short(), clip(runMessage(err), 300))
	}
	return value, nil
}

// short is the source as reasons quote it.
func (x *expression) short() string {
	return clip(strings.TrimSpace(x.source), 100)
}

func runMessage(err error) string {
	var located *file.Error
	if !errors.As(err, &located) {
		return err.Error()
	}
	switch {
	case located.Message == "memory budget exceeded":
		return "it needs too much memory"
	case strings.HasPrefix(located.Message, "interface conversion: "):
		what := strings.TrimPrefix(located.Message, "interface conversion: interface {} is ")
		return "a value is not of the kind that is needed here: it is " + plainMessage(what)
	}
	return plainMessage(located.Message)
}

// holds evaluates a condition.
func (e *evaluation) holds(x *expression) (bool, error) {
	if x == nil {
		return true, nil
	}
	v, err := e.run(x)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s: it is %s, not true or false", x.short(), kindOfValue(v))
	}
	return b, nil
}

// kindOfValue names the kind of a value as authors know it.
func kindOfValue(v any) string {
	if v == nil {
		return "nil"
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		if _, isTime := v.(time.Time); isTime {
			return "a time"
		}
		return "a map"
	}
	return "a number"
}
