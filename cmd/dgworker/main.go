// Command dgworker is the door: it reads flags and variables, minds signals and exit codes, and leaves the work to the
// packages behind it. One file holds one command.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"dgworker/rules"
	"dgworker/worker/broker"
)

// commands is the whole command line. Every flag of run has a variable DGWORKER_….
type commands struct {
	Run        runCommand        `cmd:"" help:"Take prompts from NATS, hold the conversations, fire the rules."`
	Demo       demoCommand       `cmd:"" help:"The whole job in one command: embedded NATS, a simulated DGbot and a webhook receiver."`
	Rules      rulesCommand      `cmd:"" help:"Work on rules files."`
	Ask        askCommand        `cmd:"" help:"Put one prompt to a bot, follow it, and print its outcome."`
	Dead       deadCommand       `cmd:"" help:"Look at dead letters, run them again, remove them."`
	Deliveries deliveriesCommand `cmd:"" help:"Look at actions and their attempts."`
	Outcomes   outcomesCommand   `cmd:"" help:"Look at what prompts ended in."`
	Watch      watchCommand      `cmd:"" help:"Follow outcomes and fired actions as they come."`
	Sim        simCommand        `cmd:"" help:"The DGbot simulator by itself."`
	Bench      benchCommand      `cmd:"" help:"Put a load on the whole path, and print what a conversation costs."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// env is what commands see of the world.
type env struct {
	stdout, stderr io.Writer
}

// errNo is the answer no: exit code 1. Any other error is 2, wrong usage or a broken environment.
var errNo = errors.New("the answer is no")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with everything passed in, so that tests can call it.
func run(args []string, stdout, stderr io.Writer) int {
	e := &env{stdout, stderr}
	exited, code := false, 0
	parser, err := kong.New(&commands{}, kong.Name("dgworker"), kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Bind(e),
		kong.Description("A headless action-trigger worker for DGbot: prompts in from NATS, conversations, rules, actions out."),
		kong.Vars{"default_data": broker.DefaultDir()}, kong.Exit(func(c int) { exited, code = true, c }))
	if err != nil {
		fmt.Fprintln(stderr, "dgworker:", err)
		return 2
	}
	ctx, err := parser.Parse(args)
	if exited {
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "dgworker: %v\nTry: dgworker --help\n", err)
		return 2
	}
	return exitCode(ctx.Run(e), stderr)
}

// exitCode reports err and returns the exit code that it stands for.
func exitCode(err error, stderr io.Writer) int {
	var problems rules.Problems
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		if why := strings.TrimSuffix(err.Error(), errNo.Error()); why != "" { // it says what the question was
			fmt.Fprintln(stderr, "dgworker:", strings.TrimSuffix(why, ": "))
		}
		return 1
	case errors.As(err, &problems):
		fmt.Fprintf(stderr, "%s\ndgworker: the rules have mistakes: %d\n", strings.TrimRight(problems.Error(), "\n"), len(problems))
		return 2
	}
	fmt.Fprintln(stderr, "dgworker:", err)
	return 2
}
