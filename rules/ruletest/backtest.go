package ruletest

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"

	"dgworker/rules"
)

// Report is what a backtest found.
type Report struct {
	Outcomes int          `json:"outcomes"`
	Events   int          `json:"events"`
	Diverged int          `json:"diverged"` // outcomes whose rest is hypothetical, because a reply changed
	New      int          `json:"new"`
	Gone     int          `json:"gone"`
	Changed  int          `json:"changed"`
	Rules    []RuleReport `json:"rules"`
}

// RuleReport compares one rule between the two sets.
type RuleReport struct {
	Rule      string    `json:"rule"`
	Listened  int       `json:"listened"`  // events of a type that the rule listens to
	Baseline  int       `json:"baseline"`  // fires
	Candidate int       `json:"candidate"` // fires
	New       int       `json:"new"`       // fires that only the candidate has
	Gone      int       `json:"gone"`      // fires that only the baseline has
	Changed   int       `json:"changed"`   // fires of both whose actions differ
	Errors    int       `json:"errors"`    // of the candidate
	Examples  []Example `json:"examples,omitempty"`
}

// Example is one difference.
type Example struct {
	Prompt string          `json:"prompt"`
	N      int             `json:"n"`
	Event  rules.EventType `json:"event"`
	What   string          `json:"what"` // new, gone or changed
}

// examples is how many differences of a rule are kept.
const examples = 3

// backtest is one run. Outcomes are decoded and put to stateless rules on several goroutines; what rests on the memory of
// all workers must see the outcomes in their order.
type backtest struct {
	baseline, candidate *rules.Set
	memory              [2]*Memory
	report              Report
	rules               map[string]*RuleReport
	types               map[rules.EventType]int // events, by type
}

// Backtest puts every recorded outcome to both sets, in constant memory. once and cooldown are simulated on the recorded
// clock, so outcomes must come in the order of their times. progress is told how many are done, now and then.
func Backtest(ctx context.Context, baseline, candidate *rules.Set, records iter.Seq2[[]byte, error], progress func(done int)) (*Report, error) {
	b := &backtest{
		baseline: baseline, candidate: candidate, memory: [2]*Memory{NewMemory(), NewMemory()}, rules: map[string]*RuleReport{},
		types: map[rules.EventType]int{},
	}
	for o, err := range decoded(ctx, records) {
		if err != nil {
			return nil, err
		}
		b.compare(ctx, o)
		if b.report.Outcomes++; b.report.Outcomes%1000 == 0 && progress != nil {
			progress(b.report.Outcomes)
		}
	}
	return b.finish(), context.Cause(ctx)
}

// decoded decodes records on all cores and yields them in their order.
func decoded(ctx context.Context, records iter.Seq2[[]byte, error]) iter.Seq2[*Outcome, error] {
	type job struct {
		data []byte
		o    *Outcome
		err  error
		done chan struct{}
	}
	return func(yield func(*Outcome, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		todo, order := make(chan *job), make(chan *job, 256)
		wg.Go(func() {
			defer close(order)
			defer close(todo)
			for data, err := range records {
				j := &job{data: data, err: err, done: make(chan struct{})}
				select {
				case order <- j:
				case <-ctx.Done():
					return
				}
				select {
				case todo <- j:
				case <-ctx.Done():
					return
				}
			}
		})
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for j := range todo {
					if j.err == nil {
						j.o, j.err = ReadOutcome(j.data)
					}
					close(j.done)
				}
			})
		}
		for j := range order {
			select {
			case <-j.done:
			case <-ctx.Done():
				return
			}
			if !yield(j.o, j.err) || j.err != nil {
				return
			}
		}
	}
}

// fires are the actions of the rules that fired on one event, by rule.
type fires map[string][]rules.Action

func (b *backtest) compare(ctx context.Context, o *Outcome) {
	old, _ := b.play(ctx, b.baseline, b.memory[0], o, false)
	now, events := b.play(ctx, b.candidate, b.memory[1], o, true)
	b.report.Events += len(events)
	for i, e := range events {
		b.types[e.Type]++
		if b.compareEvent(o, e, old[i], now[i]) {
			b.report.Diverged++ // what the bot would have answered nobody knows
			return
		}
	}
}

// play returns what fired on each event of o.
func (b *backtest) play(ctx context.Context, set *rules.Set, m *Memory, o *Outcome, count bool) ([]fires, []*Event) {
	var all []fires
	var events []*Event
	p := newPlayer(set, o.prompt(), o.VisitorID, o.script())
	put := func(t *Turn) {
		for i := range t.Events {
			e := &t.Events[i]
			m.At(e.At)
			decisions, _ := p.put(ctx, m, e.event(), t.response(e))
			all, events = append(all, b.fired(decisions, count)), append(events, e)
		}
	}
	put(&Turn{Events: o.Events})
	for i := range o.Turns {
		p.begin(i, o.Turns[i].Message)
		put(&o.Turns[i])
	}
	return all, events
}

// fired picks what fired, and counts what failed.
func (b *backtest) fired(decisions []rules.Decision, count bool) fires {
	var f fires
	for _, d := range decisions {
		switch {
		case d.Result == rules.Fired:
			if f == nil {
				f = fires{}
			}
			f[d.Rule] = d.Actions
		case d.Result == rules.Error && count:
			b.rule(d.Rule).Errors++
		}
	}
	return f
}

// compareEvent books the differences of one event and says whether a reply changed.
func (b *backtest) compareEvent(o *Outcome, e *Event, old, now fires) (diverged bool) {
	for name, actions := range now {
		r := b.rule(name)
		r.Candidate++
		before, both := old[name]
		switch {
		case !both:
			r.New++
			r.example(o, e, "new")
		case !sameActions(before, actions):
			r.Changed++
			r.example(o, e, "changed")
		default:
			continue
		}
		diverged = diverged || replies(actions) || replies(before)
	}
	for name, actions := range old {
		r := b.rule(name)
		r.Baseline++
		if _, both := now[name]; !both {
			r.Gone++
			r.example(o, e, "gone")
			diverged = diverged || replies(actions)
		}
	}
	return diverged
}

func (b *backtest) rule(name string) *RuleReport {
	r, ok := b.rules[name]
	if !ok {
		r = &RuleReport{Rule: name}
		b.rules[name] = r
	}
	return r
}

func (r *RuleReport) example(o *Outcome, e *Event, what string) {
	if len(r.Examples) < examples {
		r.Examples = append(r.Examples, Example{o.ID, e.N, e.Type, what})
	}
}

// finish lists every rule of both sets: one that matched nothing is worth knowing too.
func (b *backtest) finish() *Report {
	for _, set := range []*rules.Set{b.baseline, b.candidate} {
		for _, r := range set.Rules() {
			report := b.rule(r.Name)
			report.Listened = 0
			for _, t := range r.On {
				report.Listened += b.types[t]
			}
		}
	}
	for _, r := range slices.SortedFunc(maps.Values(b.rules), func(x, y *RuleReport) int { return cmp.Compare(x.Rule, y.Rule) }) {
		b.report.New += r.New
		b.report.Gone += r.Gone
		b.report.Changed += r.Changed
		b.report.Rules = append(b.report.Rules, *r)
	}
	return &b.report
}

func replies(actions []rules.Action) bool {
	return slices.ContainsFunc(actions, isReply)
}

// sameActions compares what two fires ask for.
func sameActions(a, b []rules.Action) bool {
	return slices.EqualFunc(a, b, func(x, y rules.Action) bool {
		return x.Kind == y.Kind && x.Endpoint == y.Endpoint && x.Method == y.Method && x.Path == y.Path && x.Query == y.Query &&
			x.Subject == y.Subject && x.Text == y.Text && string(x.Body) == string(y.Body) && maps.Equal(x.Headers, y.Headers)
	})
}
