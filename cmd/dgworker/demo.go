package main

type demoCommand struct {
	Exit bool `help:"End after the table, with 0 only if every expected thing happened."`
}

func (demoCommand) Run(e *env) error { return nil }
