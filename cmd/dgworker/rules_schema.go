package main

import "dgworker/rules"

type schemaCommand struct{}

// Run prints the schema. Editors find it by a line in the rules file: see rules.example.yaml.
func (schemaCommand) Run(e *env) error {
	_, err := e.stdout.Write(rules.Schema())
	return err
}
