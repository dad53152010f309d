package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"dgworker/rules/ruletest"
)

type backtestCommand struct {
	NATS       natsFlags     `embed:""`
	Baseline   string        `required:"" placeholder:"FILE" help:"The rules as they are: a file or a folder."`
	Candidate  string        `required:"" placeholder:"FILE" help:"The rules as they might be."`
	Files      []string      `arg:"" optional:"" name:"file" help:"Files with an outcome a line (JSONL), - for standard input; without any, the outcomes on NATS."`
	Since      time.Duration `help:"Of the outcomes on NATS, only those of this long ago, e.g. 24h."`
	Bot        string        `help:"Only outcomes of this bot."`
	MaxNew     *int          `placeholder:"N" help:"Answer no (exit 1) if more fires are new."`
	MaxGone    *int          `placeholder:"N" help:"Answer no if more fires are gone."`
	MaxChanged *int          `placeholder:"N" help:"Answer no if more fires are changed."`
	Examples   int           `default:"3" help:"Examples of each kind for each rule."`
	JSON       bool          `name:"json" help:"As JSON."`
}

// Help says what is counted.
func (backtestCommand) Help() string {
	return `Both rules files are put to recorded outcomes by the evaluator that run uses; nothing is sent anywhere.
A fire is a rule that fires on one event: new if only the candidate's does, gone if only the baseline's does, changed
if both do and ask for something else. once and cooldown are simulated on the recorded clock, so outcomes come in the
order of their time. What follows a changed reply is hypothetical and counted apart, as diverged; no gate counts it.

    dgworker outcomes list --json > outcomes.jsonl
    dgworker rules backtest --baseline old.yaml --candidate new.yaml --max-gone 0 outcomes.jsonl`
}

// Run compares the two, prints what it found, and answers no if a gate is exceeded.
func (c backtestCommand) Run(e *env) error {
	base, err := loadOffline(c.Baseline)
	if err != nil {
		return err
	}
	candidate, err := loadOffline(c.Candidate)
	if err != nil {
		return err
	}
	if len(c.Files) > 0 && c.Since > 0 {
		return fmt.Errorf("rules backtest: --since is for the outcomes on NATS, and files were named")
	}
	var report *ruletest.Report
	err = withHistory(c.NATS, func(ctx context.Context, h *history) error {
		records, total, err := c.records(ctx, h)
		if err != nil {
			return err
		}
		b := newBar(e.stderr, total)
		test := ruletest.Backtest{Baseline: base, Candidate: candidate, Bot: c.Bot, Examples: c.Examples, Progress: b.show}
		report, err = test.Run(ctx, records)
		b.clear()
		return err
	})
	if err != nil {
		return fmt.Errorf("rules backtest: %w", err)
	}
	return c.print(e, report)
}

// records are those of the files, or of the stream.
func (c backtestCommand) records(ctx context.Context, h *history) (iter.Seq2[ruletest.Record, error], amount, error) {
	if len(c.Files) > 0 {
		return recordsOf(c.Files)
	}
	since := time.Time{}
	if c.Since > 0 {
		since = time.Now().Add(-c.Since)
	}
	return h.records(ctx, c.Bot, since)
}

func (c backtestCommand) print(e *env, r *ruletest.Report) error {
	var err error
	if c.JSON {
		err = printJSON(e.stdout, r)
	} else {
		err = r.Write(e.stdout)
	}
	if err != nil {
		return err
	}
	if r.Outcomes == 0 {
		return fmt.Errorf("rules backtest: there were no outcomes to compare with: %w", errNo)
	}
	for _, gate := range []struct {
		name string
		most *int
		got  int
	}{{"new", c.MaxNew, r.New}, {"gone", c.MaxGone, r.Gone}, {"changed", c.MaxChanged, r.Changed}} {
		if gate.most != nil && gate.got > *gate.most {
			fmt.Fprintf(e.stderr, "dgworker: %d fires are %s, and --max-%s allows %d\n", gate.got, gate.name, gate.name, *gate.most)
			err = errNo
		}
	}
	return err
}
