package ruletest

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"dgworker/rules"
)

// Record is one recorded outcome as it comes from a file or a stream. Data is the reader's to give away.
type Record struct {
	Data []byte
	File string // where it is from, for errors; "" for a stream
	Line int    // in File, from 1
}

// Backtest compares two sets of rules over recorded outcomes.
type Backtest struct {
	Baseline, Candidate *rules.Set
	Bot                 string // only outcomes of this bot; "" is all
	Examples            int    // kept of each kind for each rule; defaults to 3
	Workers             int    // that decode and evaluate; defaults to GOMAXPROCS
	// Progress is called now and then with what is done so far: outcomes read and their bytes. Nil is nobody.
	Progress func(outcomes int, bytes int64)
}

const (
	batchRecords = 64
	batchBytes   = 256 << 10
)

// Run reads records to their end and reports. Its memory doesn't grow with their number, but for the claims that rules
// with `once: visitor` make for ever, some 100 bytes each.
//
// Batches are decoded and evaluated in parallel and put together in the order in which they came. Only an outcome in
// which a rule asked for a claim (`cooldown`, `once: visitor`) is evaluated again in that order, one after the other: what
// it gets depends on those before it.
func (b Backtest) Run(ctx context.Context, records iter.Seq2[Record, error]) (*Report, error) {
	if b.Examples == 0 {
		b.Examples = 3
	}
	if b.Workers <= 0 {
		b.Workers = runtime.GOMAXPROCS(0)
	}
	m := newMerger(&b)
	group, ctx := errgroup.WithContext(ctx)
	todo, order := make(chan *batch, b.Workers), make(chan *batch, 4*b.Workers)
	group.Go(func() error {
		defer close(todo)
		defer close(order)
		return read(ctx, records, todo, order)
	})
	for range b.Workers {
		d := m.duel()
		group.Go(func() error {
			for in := range todo {
				d.batch(ctx, in, b.Bot)
				close(in.done)
			}
			return nil
		})
	}
	group.Go(func() error { return m.merge(ctx, order) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return m.report(), nil
}

// batch is some records on their way.
type batch struct {
	records []Record
	first   int // number of the first, from 1
	bytes   int64
	done    chan struct{} // closed when the fields below are set
	tally   *tally
	waiting []*Outcome // those that need their turn
	err     error
}

// read makes batches and sends each to whoever is free and to the one who keeps the order.
func read(ctx context.Context, records iter.Seq2[Record, error], todo, order chan<- *batch) error {
	next := &batch{first: 1, done: make(chan struct{})}
	send := func() error {
		following := next.first + len(next.records) // once it is sent, a batch is its worker's
		for _, to := range []chan<- *batch{order, todo} {
			select {
			case to <- next:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		next = &batch{first: following, done: make(chan struct{})}
		return nil
	}
	for r, err := range records {
		if err != nil {
			return err
		}
		next.records, next.bytes = append(next.records, r), next.bytes+int64(len(r.Data))
		if len(next.records) == batchRecords || next.bytes >= batchBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// batch evaluates what can be evaluated out of order.
func (d *duel) batch(ctx context.Context, in *batch, bot string) {
	in.tally = newTally(len(d.tally.rows))
	for i, r := range in.records {
		o, err := ReadOutcome(r.Data)
		if err != nil {
			in.err = fmt.Errorf("outcome %d: %w", in.first+i, err)
			if r.File != "" {
				in.err = fmt.Errorf("%s:%d: %w (a line is an outcome as JSON)", r.File, r.Line, err)
			}
			return
		}
		if bot != "" && o.Bot != bot {
			continue
		}
		if d.independent(ctx, o) {
			in.tally.add(d.tally)
		} else {
			in.waiting = append(in.waiting, o)
		}
		d.tally.clear()
	}
	in.records = nil
}

// merger puts the batches together in their order.
type merger struct {
	*Backtest
	names    map[string]int
	rows     []string // rule names: those of the candidate in the order of its file, then what only the baseline has
	full     []atomic.Bool
	kept     []int // examples of each row and kind
	memories [sides]*Memory
	all      *tally
	bytes    int64
}

func newMerger(b *Backtest) *merger {
	m := &merger{Backtest: b, names: map[string]int{}, memories: [sides]*Memory{NewMemory(), NewMemory()}}
	for _, set := range []*rules.Set{b.Candidate, b.Baseline} {
		for _, r := range set.Rules() {
			if _, there := m.names[r.Name]; !there {
				m.names[r.Name] = len(m.rows)
				m.rows = append(m.rows, r.Name)
			}
		}
	}
	m.full = make([]atomic.Bool, len(m.rows)*int(kinds))
	m.kept = make([]int, len(m.full))
	m.all = newTally(len(m.rows))
	return m
}

// duel returns a duel for one goroutine.
func (m *merger) duel() *duel {
	return &duel{
		sets: [sides]*rules.Set{m.Baseline, m.Candidate}, names: m.names, tally: newTally(len(m.rows)),
		wanted: func(row int, k kind) bool { return !m.full[row*int(kinds)+int(k)].Load() },
	}
}

func (m *merger) merge(ctx context.Context, order <-chan *batch) error {
	d := m.duel()
	never := func() bool { return false }
	claims := [sides]clock{m.memories[baseline], m.memories[candidate]}
	for in := range order {
		select {
		case <-in.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if in.err != nil {
			return in.err
		}
		m.add(in.tally)
		for _, o := range in.waiting {
			d.play(ctx, o, claims, never)
			m.add(d.tally)
			d.tally.clear()
		}
		m.bytes += in.bytes
		if m.Progress != nil {
			m.Progress(m.all.outcomes, m.bytes)
		}
	}
	return context.Cause(ctx)
}

// add adds t, and of its examples those that are still wanted.
func (m *merger) add(t *tally) {
	examples := t.examples
	t.examples = nil
	m.all.add(t)
	for _, x := range examples {
		i := x.row*int(kinds) + int(x.kind)
		if m.kept[i] == m.Examples {
			continue
		}
		m.all.examples = append(m.all.examples, x)
		if m.kept[i]++; m.kept[i] == m.Examples {
			m.full[i].Store(true)
		}
	}
}
