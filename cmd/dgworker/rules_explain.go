package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"dgworker/rules"
	"dgworker/rules/ruletest"
	"dgworker/worker/queue"
)

type explainCommand struct {
	NATS    natsFlags `embed:"" `
	Outcome string    `arg:"" name:"file|id" help:"An outcome: a file (JSON, or one a line), - for standard input, or a prompt's id."`
	Rules   string    `placeholder:"FILE" help:"Rules file or folder, instead of the version that the outcome names."`
	Rule    string    `placeholder:"NAME" help:"Only this rule."`
	JSON    bool      `name:"json" help:"One JSON object an outcome."`
}

// Run explains every outcome that was named.
func (c explainCommand) Run(e *env) error {
	return withHistory(c.NATS, func(ctx context.Context, h *history) error {
		list, err := recorded(ctx, h, c.Outcome)
		if err != nil {
			return err
		}
		sets := map[string]*rules.Set{}
		for i, o := range list {
			set, err := c.rules(ctx, h, sets, o)
			if err != nil {
				return err
			}
			x, err := ruletest.Explain(ctx, set, o)
			if err != nil {
				return err
			}
			if i > 0 && !c.JSON {
				fmt.Fprintln(e.stdout)
			}
			if err := c.print(e, set, x); err != nil {
				return err
			}
		}
		return nil
	})
}

// rules are those of --rules, or of the version that the outcome names.
func (c explainCommand) rules(ctx context.Context, h *history, sets map[string]*rules.Set, o *ruletest.Outcome) (*rules.Set, error) {
	if c.Rules == "" && o.RulesVersion == "" {
		return nil, fmt.Errorf("the outcome of prompt %q names no version of the rules: give them with --rules", o.ID)
	}
	key := ""
	if c.Rules == "" {
		key = o.RulesVersion
	}
	if set := sets[key]; set != nil {
		return set, nil
	}
	var set *rules.Set
	var err error
	if c.Rules != "" {
		set, err = loadOffline(c.Rules)
	} else {
		set, err = versionRules(ctx, h, o.RulesVersion)
	}
	sets[key] = set
	return set, err
}

// versionRules compiles a version of the rules that is kept on NATS.
func versionRules(ctx context.Context, h *history, version string) (*rules.Set, error) {
	v, err := h.version(ctx, version)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, fmt.Errorf("rules version %s is not kept on this NATS (is --prefix right?): give the rules with --rules", version)
	case err != nil:
		return nil, fmt.Errorf("rules version %s is kept on NATS; --rules FILE does without: %w", version, err)
	}
	return ruletest.ParseOffline(v.Files, os.LookupEnv)
}

func (c explainCommand) print(e *env, set *rules.Set, x *ruletest.Explanation) error {
	if c.Rule != "" {
		var names []string
		for _, r := range set.Rules() {
			names = append(names, r.Name)
		}
		if !slices.Contains(names, c.Rule) {
			return fmt.Errorf("these rules have no rule %q; %s", c.Rule, rules.DidYouMean(c.Rule, names))
		}
		x.Only(c.Rule)
	}
	if c.JSON {
		return printJSON(e.stdout, x)
	}
	return x.Write(e.stdout)
}
