// Package rules owns the vocabulary that rule authors see (Event, Conversation, Prompt, Rule, Action), the strict parse
// of rules files with the position of every mistake, the compiled Set with its index, Set.Match, and the templates.
//
// It is pure: no I/O, no goroutine, no clock of its own. now() in an expression is the event's time; what must be
// remembered between events (once, cooldown) is asked through the Occasion. It opens no connection and knows neither the
// worker nor the sinks: a Match ends with rendered Actions, which are data.
//
// # What Parse promises
//
// Parse reports every mistake of all files, each as a Problem with file, line, column and the line itself. YAML syntax
// and a single expression stop at their first. Whatever it accepts can be matched without further checks; what can only
// fail later (nil data, a value too long) becomes a Decision with Result Error and stops no other rule.
//
// # Text from outside is data
//
// What a bot, a visitor or a person said reaches templates as values only. A value is escaped for the place where it
// lands and never expanded again: see escape.go. A nil in a place that needs text is an error, not "<nil>".
//
// # Bounded work
//
// expr can't be interrupted, so work is bounded before and while it runs: length of an expression, nesting of
// predicates, size of patterns at load; a budget of work and one of memory for each evaluation (see meter.go).
package rules
