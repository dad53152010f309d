package main

import "dgworker/rules"

type schemaCommand struct{}

// Help says how an editor is told.
func (schemaCommand) Help() string {
	return `Keep it beside your rules, and name it in their first line:

    dgworker rules schema > rules.schema.json
    # yaml-language-server: $schema=rules.schema.json`
}

// Run prints the schema.
func (schemaCommand) Run(e *env) error {
	_, err := e.stdout.Write(rules.Schema())
	return err
}
