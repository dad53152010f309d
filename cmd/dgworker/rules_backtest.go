package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"golang.org/x/term"

	"dgworker/rules"
	"dgworker/rules/ruletest"
	"dgworker/worker/queue"
)

type backtestCommand struct {
	Baseline  string        `required:"" placeholder:"FILE" help:"The rules as they are."`
	Candidate string        `required:"" placeholder:"FILE" help:"The rules as they might be."`
	Files     []string      `arg:"" optional:"" name:"file" help:"Files with an outcome a line; without one, the outcomes on NATS."`
	Since     time.Duration `help:"Of the outcomes on NATS, only those of this long ago."`
	Bot       string        `help:"Only outcomes of this bot."`
	MaxNew    int           `default:"-1" help:"Answer no if more fires are new."`
	MaxGone   int           `default:"-1" help:"Answer no if more fires are gone."`
	JSON      bool          `name:"json" help:"As JSON."`
	NATS      natsFlags     `embed:""`
}

// Run compares what both rule sets do with recorded outcomes.
func (c backtestCommand) Run(e *env) error {
	baseline, err := loadOffline(c.Baseline)
	if err != nil {
		return err
	}
	candidate, err := loadOffline(c.Candidate)
	if err != nil {
		return err
	}
	var report *ruletest.Report
	if len(c.Files) > 0 {
		report, err = c.compare(context.Background(), baseline, candidate, c.fromFiles())
	} else {
		err = withArchives(c.NATS, func(ctx context.Context, a *archives) (err error) {
			report, err = c.compare(ctx, baseline, candidate, c.fromNATS(ctx, a))
			return err
		})
	}
	if err != nil {
		return err
	}
	return c.print(e, report)
}

func (c backtestCommand) compare(ctx context.Context, baseline, candidate *rules.Set, records iter.Seq2[[]byte, error]) (*ruletest.Report, error) {
	var progress func(int)
	if term.IsTerminal(int(os.Stderr.Fd())) {
		progress = func(done int) { fmt.Fprintf(os.Stderr, "\r%d outcomes", done) }
		defer fmt.Fprint(os.Stderr, "\r\033[K")
	}
	return ruletest.Backtest(ctx, baseline, candidate, records, progress)
}

// maxLine bounds one outcome in a file, in bytes.
const maxLine = 16 << 20

func (c backtestCommand) fromFiles() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, name := range c.Files {
			if !c.fromFile(name, yield) {
				return
			}
		}
	}
}

func (c backtestCommand) fromFile(name string, yield func([]byte, error) bool) bool {
	f, err := os.Open(name)
	if err != nil {
		return yield(nil, fmt.Errorf("read outcomes: %w", err))
	}
	defer f.Close()
	scan := bufio.NewScanner(io.Reader(f))
	scan.Buffer(make([]byte, 1<<20), maxLine)
	for line := 1; scan.Scan(); line++ {
		data := bytes.TrimSpace(scan.Bytes())
		if len(data) == 0 || !c.wants(data) {
			continue
		}
		if !json.Valid(data) {
			return yield(nil, fmt.Errorf("%s:%d: this is not JSON", name, line))
		}
		if !yield(bytes.Clone(data), nil) {
			return false
		}
	}
	if err := scan.Err(); err != nil {
		return yield(nil, fmt.Errorf("read outcomes %s: %w", name, err))
	}
	return true
}

func (c backtestCommand) wants(data []byte) bool {
	if c.Bot == "" {
		return true
	}
	var o struct {
		Bot string `json:"bot"`
	}
	return json.Unmarshal(data, &o) == nil && o.Bot == c.Bot
}

func (c backtestCommand) fromNATS(ctx context.Context, a *archives) iter.Seq2[[]byte, error] {
	filter := queue.Filter{Bot: c.Bot}
	if c.Since > 0 {
		filter.Since = time.Now().Add(-c.Since)
	}
	return func(yield func([]byte, error) bool) {
		for o, err := range a.prompts.Outcomes(ctx, filter) {
			var data []byte
			if err == nil {
				data, err = json.Marshal(o)
			}
			if !yield(data, err) {
				return
			}
		}
	}
}

func (c backtestCommand) print(e *env, r *ruletest.Report) error {
	if c.JSON {
		if err := printJSON(e.stdout, r); err != nil {
			return err
		}
	} else {
		printReport(e.stdout, r)
	}
	if c.MaxNew >= 0 && r.New > c.MaxNew || c.MaxGone >= 0 && r.Gone > c.MaxGone {
		return fmt.Errorf("%d fires are new and %d are gone: %w", r.New, r.Gone, errNo)
	}
	return nil
}

func printReport(w io.Writer, r *ruletest.Report) {
	fmt.Fprintf(w, "%d outcomes, %d events: %d fires are new, %d gone, %d changed; %d outcomes diverged after a reply changed\n\n",
		r.Outcomes, r.Events, r.New, r.Gone, r.Changed, r.Diverged)
	fmt.Fprintf(w, "%-32s %9s %9s %6s %6s %8s %6s\n", "RULE", "BASELINE", "CANDIDATE", "NEW", "GONE", "CHANGED", "ERRORS")
	for _, rule := range r.Rules {
		note := ""
		switch {
		case rule.Candidate == 0:
			note = "  matched nothing"
		case rule.Candidate == rule.Listened:
			note = "  matched everything"
		}
		fmt.Fprintf(w, "%-32s %9d %9d %6d %6d %8d %6d%s\n", rule.Rule, rule.Baseline, rule.Candidate, rule.New, rule.Gone, rule.Changed, rule.Errors, note)
		for _, x := range rule.Examples {
			fmt.Fprintf(w, "    %s: prompt %s, event %d (%s)\n", x.What, x.Prompt, x.N, x.Event)
		}
	}
}
