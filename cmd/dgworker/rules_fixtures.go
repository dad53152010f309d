package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"dgworker/rules"
	"dgworker/rules/ruletest"
)

type fixturesCommand struct {
	NATS        natsFlags `embed:""`
	Files       []string  `arg:"" optional:"" name:"file" help:"Fixtures (YAML)."`
	Rules       string    `placeholder:"FILE" help:"Rules file or folder, instead of the one that a fixture names."`
	Match       string    `name:"run" placeholder:"REGEX" help:"Only tests whose name matches."`
	JUnit       string    `name:"junit" placeholder:"FILE" help:"Write a JUnit XML report."`
	JSON        bool      `name:"json" help:"Print the results as JSON, a line each; failures is empty where a test passed."`
	Verbose     bool      `short:"v" help:"Name the tests that passed too."`
	FromOutcome string    `placeholder:"FILE|ID" help:"Print a fixture made from a recorded outcome, and run nothing."`
}

// Help shows what a fixture looks like.
func (fixturesCommand) Help() string {
	return `A fixture names its rules, says what happens, and what the rules are expected to do:

    rules: rules.yaml                 # relative to the fixture
    tests:
      - name: a refund is booked
        prompt: {bot: support, content: "Refund A-1042", data: {order_id: A-1042}}
        events:                       # the clock moves: after, or at (both 10m or so; at also a time)
          - {type: tool_action, tool: issue_refund}
          - {after: 2s, type: tool_action_result, tool: issue_refund, status: done}
          - {after: 1s, type: final_response, text: "Your refund is on its way."}
          - {type: conversation_ended, status: completed}
        expect:                       # what isn't expected must not fire
          fired:
            - {rule: refund-issued, webhook: refunds, path: /orders/A-1042/refunded, body: {order: A-1042}}
            - refund-confirmed        # all that this rule did on one event
          suppressed: []              # {rule, why: once | cooldown | max_turns, until}; compared if given, like shadow
          errors: []                  # {rule, reason: a part of it}

Several turns are "turns: [{message, events}, …]"; several conversations that share clock and claims are
"conversations: [{prompt, after, events, expect}, …]"; "claimed: [{rule, until}]" are claims that others hold.
"body" compares the whole body, "body_has" the keys that it names.`
}

// Run runs the fixtures and answers no if anything was not as expected.
func (c fixturesCommand) Run(e *env) error {
	if c.FromOutcome != "" {
		return c.makeFixture(e)
	}
	if len(c.Files) == 0 {
		return errors.New("rules test: name a fixture, or --from-outcome to make one")
	}
	match, err := regexp.Compile(c.Match)
	if err != nil {
		return fmt.Errorf("rules test: --run: %w", err)
	}
	fixtures, err := c.read()
	var problems rules.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(e.stderr, strings.TrimRight(problems.Error(), "\n"))
		return fmt.Errorf("rules test: nothing was run: the fixtures or their rules have mistakes: %d", len(problems))
	}
	if err != nil {
		return err
	}
	var results []ruletest.Result
	for _, f := range fixtures {
		for _, t := range f.Tests {
			if match.MatchString(t.Name) {
				results = append(results, f.Run(context.Background(), t))
			}
		}
	}
	if len(results) == 0 {
		return fmt.Errorf("rules test: no test's name matches %q", c.Match)
	}
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, results); err != nil {
			return err
		}
	}
	if c.JSON {
		return reportJSON(e, results)
	}
	return c.report(e, results, len(fixtures))
}

func reportJSON(e *env, results []ruletest.Result) (err error) {
	for _, r := range results {
		if perr := printJSON(e.stdout, r); perr != nil {
			return perr
		}
		if r.Failed() {
			err = errNo
		}
	}
	return err
}

// read reads all fixtures, so that every mistake of every file is known before anything runs.
func (c fixturesCommand) read() ([]*ruletest.Fixture, error) {
	var fixtures []*ruletest.Fixture
	var problems rules.Problems
	sets := map[string]*rules.Set{}
	for _, name := range c.Files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read fixture: %w", err)
		}
		f, err := ruletest.ReadFixture(name, text, func(path string) (*rules.Set, error) { return c.load(sets, name, path) })
		var mistakes rules.Problems
		switch {
		case errors.As(err, &mistakes):
			problems = append(problems, mistakes...)
		case err != nil:
			return nil, err
		default:
			fixtures = append(fixtures, f)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return fixtures, nil
}

// load compiles the rules of a fixture, each file once.
func (c fixturesCommand) load(sets map[string]*rules.Set, fixture, path string) (*rules.Set, error) {
	switch {
	case c.Rules != "":
		path = c.Rules
	case path == "":
		return nil, fmt.Errorf("read fixture %s: it names no rules: add rules: FILE, or use --rules", fixture)
	case !filepath.IsAbs(path):
		path = filepath.Join(filepath.Dir(fixture), path)
	}
	if set := sets[path]; set != nil {
		return set, nil
	}
	set, err := loadOffline(path)
	if err == nil {
		sets[path] = set
	}
	return set, err
}

func (c fixturesCommand) report(e *env, results []ruletest.Result, files int) error {
	failed := 0
	for _, r := range results {
		switch {
		case r.Failed():
			failed++
			fmt.Fprintf(e.stdout, "FAIL  %s:%d: %s\n", r.File, r.Line, r.Test)
			for _, f := range r.Failures {
				fmt.Fprintln(e.stdout, "      "+strings.ReplaceAll(f, "\n", "\n      "))
			}
		case c.Verbose:
			fmt.Fprintf(e.stdout, "ok    %s:%d: %s\n", r.File, r.Line, r.Test)
		}
	}
	fmt.Fprintf(e.stdout, "%s in %s: %d passed, %d failed\n", count(len(results), "test"), count(files, "file"), len(results)-failed, failed)
	if failed > 0 {
		return errNo
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func writeJUnit(name string, results []ruletest.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	if err := ruletest.WriteJUnit(f, results); err != nil {
		_ = f.Close() // what went wrong first is what counts
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

// makeFixture prints a fixture made from one outcome.
func (c fixturesCommand) makeFixture(e *env) error {
	if len(c.Files) > 0 {
		return errors.New("rules test: --from-outcome prints a fixture and runs none: leave the files out")
	}
	path := c.Rules
	if path == "" {
		path = "rules.yaml"
		fmt.Fprintln(e.stderr, "dgworker: the fixture names rules.yaml as its rules: edit it, or give --rules")
	}
	return withHistory(c.NATS, func(ctx context.Context, h *history) error {
		list, err := recorded(ctx, h, c.FromOutcome)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("make fixture: %s has %d outcomes, and a fixture is made from one", c.FromOutcome, len(list))
		}
		return ruletest.WriteFixture(e.stdout, list[0], path)
	})
}
