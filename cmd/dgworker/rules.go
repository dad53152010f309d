package main

import (
	"errors"
	"fmt"
	"strings"

	"dgworker/rules"
	"dgworker/rules/rulesfile"
	"dgworker/worker/trigger"
)

type rulesCommand struct {
	Check    checkCommand    `cmd:"" help:"Find every mistake in rules files."`
	Test     fixturesCommand `cmd:"" help:"Run fixtures: events in, expected actions out."`
	Explain  explainCommand  `cmd:"" help:"Say why each rule did or did not fire in a recorded conversation."`
	Backtest backtestCommand `cmd:"" help:"Compare two rules files over recorded outcomes: what would fire anew, no longer or differently."`
	Versions versionsCommand `cmd:"" help:"List the versions of the rules that workers have used."`
	Schema   schemaCommand   `cmd:"" help:"Print the JSON Schema of rules files, for editors."`
}

type checkCommand struct {
	File   string `arg:"" help:"A rules file, or a folder of them."`
	Prefix string `default:"dgbot" env:"DGWORKER_PREFIX" help:"First tokens of the worker's subjects, which triggers must not listen on."`
	JSON   bool   `name:"json" help:"Print the mistakes as JSON, a line each."`
}

// Run prints every mistake to standard error and answers no; or prints one line that counts what it read.
func (c checkCommand) Run(e *env) error {
	set, err := rulesfile.Load(c.File)
	if err == nil {
		err = trigger.Check(set, c.Prefix)
	}
	var problems rules.Problems
	switch {
	case errors.As(err, &problems) && c.JSON:
		for _, p := range problems {
			if err := printJSON(e.stdout, p); err != nil {
				return err
			}
		}
		return errNo
	case errors.As(err, &problems):
		fmt.Fprintln(e.stderr, strings.TrimRight(problems.Error(), "\n"))
		return errNo
	case err != nil:
		return err
	case !c.JSON:
		fmt.Fprintln(e.stdout, set.Summary())
	}
	return nil
}
