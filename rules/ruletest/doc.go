// Package ruletest works on rules offline: fixtures (`rules test`), explanations (`rules explain`) and comparisons of two
// rules files over recorded outcomes (`rules backtest`).
//
// Everything goes through rules.Session, the evaluator that the worker uses, with a memory of claims that runs on the
// clock of the events. The package does no I/O beyond the readers and writers that it is given. It imports neither the
// worker nor the sinks, so nothing that is tried out here can reach a receiver; a test holds it to that.
package ruletest
