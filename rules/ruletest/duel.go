package ruletest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"dgworker/rules"
)

// The two sides of a comparison.
const (
	baseline = iota
	candidate
	sides
)

// kind is how a firing differs between the sides.
type kind int

const (
	isNew kind = iota
	isGone
	isChanged
	kinds
)

var kindNames = [kinds]string{"new", "gone", "changed"}

// duel puts recorded conversations to both sides and notes where they part. It belongs to one goroutine.
type duel struct {
	sets    [sides]*rules.Set
	why     [sides]*rules.Explainer
	names   map[string]int // rule -> its row
	wanted  func(row int, k kind) bool
	tally   *tally
	players [sides]*player
}

// tally is what a duel counts. All of it can be added up.
type tally struct {
	outcomes, events int
	diverged         int // outcomes of which a part is hypothetical
	rows             []row
	touched          []int // rows that have anything
	seen             map[stand]int
	examples         []Example
}

// stand is what decides whether a rule is asked about an event at all.
type stand struct {
	of  rules.EventType
	bot string
}

// row counts what one rule did.
type row struct {
	side     [sides]sideCount
	diff     [kinds]int
	diverged [kinds]int
	touched  bool
}

type sideCount struct{ matched, fired, errors int }

func newTally(rows int) *tally { return &tally{rows: make([]row, rows), seen: map[stand]int{}} }

// row returns the i-th row, to be changed.
func (t *tally) row(i int) *row {
	r := &t.rows[i]
	if !r.touched {
		r.touched = true
		t.touched = append(t.touched, i)
	}
	return r
}

// add adds o to t. It costs what o has, not what it could have.
func (t *tally) add(o *tally) {
	t.outcomes += o.outcomes
	t.events += o.events
	t.diverged += o.diverged
	for _, i := range o.touched {
		to, from := t.row(i), &o.rows[i]
		for s := range sides {
			a, b := &to.side[s], &from.side[s]
			a.matched, a.fired, a.errors = a.matched+b.matched, a.fired+b.fired, a.errors+b.errors
		}
		for k := range kinds {
			to.diff[k] += from.diff[k]
			to.diverged[k] += from.diverged[k]
		}
	}
	for k, n := range o.seen {
		t.seen[k] += n
	}
	t.examples = append(t.examples, o.examples...)
}

// clear makes t as new.
func (t *tally) clear() {
	for _, i := range t.touched {
		t.rows[i] = row{}
	}
	t.outcomes, t.events, t.diverged, t.examples, t.touched = 0, 0, 0, nil, t.touched[:0]
	clear(t.seen)
}

// errAsked is the answer of claims that can't be asked here.
var errAsked = errors.New("claims are decided in order")

// asking are claims for those who evaluate out of order: they note that they were asked and answer nothing.
type asking struct{ asked bool }

// Claim implements rules.Claims.
func (a *asking) Claim(context.Context, string, string, time.Duration) (bool, time.Time, error) {
	a.asked = true
	return false, time.Time{}, errAsked
}

// clock is a side's claims, whose time must be set.
type clock interface {
	rules.Claims
	At(time.Time)
}

// At implements clock.
func (a *asking) At(time.Time) {}

// independent plays o with claims that nobody answers. It reports false, and leaves the tally as unusable, if a rule
// asked: then the outcome has to wait for its turn.
func (d *duel) independent(ctx context.Context, o *Outcome) bool {
	a := &asking{}
	return d.play(ctx, o, [sides]clock{a, a}, func() bool { return a.asked })
}

// play puts a whole conversation to both sides. stop is asked after each event; play reports false if it stopped there.
func (d *duel) play(ctx context.Context, o *Outcome, claims [sides]clock, stop func() bool) bool {
	prompt, script := o.prompt(), o.script()
	for s := range sides {
		d.players[s] = newPlayer(d.sets[s], prompt, o.VisitorID, script)
	}
	d.tally.outcomes++
	diverged := false
	put := func(t *Turn, turn int) bool {
		for i := range t.Events {
			e := &t.Events[i]
			d.event(ctx, o, e, t.response(e), claims, diverged)
			if stop() {
				return false
			}
			if e.Type == rules.FinalResponse && !diverged { // settled: what is said next is decided
				diverged = d.part(turn + 1 - script)
			}
		}
		return true
	}
	if !put(&Turn{Events: o.Events}, -1) {
		return false
	}
	for i := range o.Turns {
		for s := range sides {
			d.players[s].begin(i, o.Turns[i].Message)
		}
		diverged = diverged || d.part(i-script)
		if !put(&o.Turns[i], i) {
			return false
		}
	}
	if diverged {
		d.tally.diverged++
	}
	return true
}

// part says whether the sides go different ways with the reply of that index.
func (d *duel) part(reply int) bool {
	if reply < 0 {
		return false
	}
	a, isA := d.players[baseline].next(reply)
	b, isB := d.players[candidate].next(reply)
	return isA != isB || a != b
}

// event puts one event to both sides and compares what they decided.
func (d *duel) event(ctx context.Context, o *Outcome, e *Event, r *rules.Response, claims [sides]clock, diverged bool) {
	var made [sides][]rules.Decision
	event := e.event()
	for s := range sides {
		claims[s].At(e.At)
		made[s], _ = d.players[s].put(ctx, claims[s], event, r)
		d.count(s, made[s])
	}
	d.tally.events++
	d.tally.seen[stand{e.Type, o.Bot}]++
	c := comparison{d, o, e, event, made, diverged}
	for i := range made[baseline] {
		if was := &made[baseline][i]; was.Result == rules.Fired {
			is := find(made[candidate], was.Rule)
			switch {
			case is == nil || is.Result != rules.Fired:
				c.note(isGone, was.Rule, was, is)
			case !equal(was.Actions, is.Actions):
				c.note(isChanged, was.Rule, was, is)
			}
		}
	}
	for i := range made[candidate] {
		if is := &made[candidate][i]; is.Result == rules.Fired {
			if was := find(made[baseline], is.Rule); was == nil || was.Result != rules.Fired {
				c.note(isNew, is.Rule, was, is)
			}
		}
	}
}

func find(ds []rules.Decision, rule string) *rules.Decision {
	for i := range ds {
		if ds[i].Rule == rule {
			return &ds[i]
		}
	}
	return nil
}

// count counts the decisions of one side. A rule matched if its condition held, whatever came of it.
func (d *duel) count(s int, ds []rules.Decision) {
	for i := range ds {
		switch ds[i].Result {
		case rules.False, rules.Off, rules.OtherBot:
			continue
		}
		c := &d.tally.row(d.names[ds[i].Rule]).side[s]
		switch ds[i].Result {
		case rules.Fired:
			c.fired++
			c.matched++
		case rules.Error:
			c.errors++
			if !strings.HasPrefix(ds[i].Reason, "when: ") { // it held, and then an action or a key failed
				c.matched++
			}
		case rules.TurnLimit:
			if find(ds, ds[i].Rule) == &ds[i] { // not the rest of one that fired
				c.matched++
			}
		case rules.Shadow, rules.Once, rules.Cooldown, rules.Backstop:
			c.matched++
		}
	}
}

// equal says whether two firings of a rule ask for the same. Their ids are the same anyhow.
func equal(a, b []rules.Action) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Kind != y.Kind || x.Endpoint != y.Endpoint || x.Method != y.Method || x.Path != y.Path || x.Query != y.Query ||
			x.Subject != y.Subject || x.Text != y.Text || !bytes.Equal(x.Body, y.Body) || !maps.Equal(x.Headers, y.Headers) {
			return false
		}
	}
	return true
}
