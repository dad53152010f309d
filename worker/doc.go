// Package worker holds conversations and keeps the promises.
//
// It takes one prompt at a time from whoever brings it (package worker/queue), talks to the bot as a visitor (package
// worker/dgbot), puts what happens to the rules, and ends every prompt in one outcome. Its order of doing things is what
// the promises rest on, and it is the same everywhere:
//
//	prompt -> sent mark -> visitor message -> event -> decisions -> journal -> outbox -> outcome -> acknowledgement
//
// Nothing goes out (a visitor message, an action, an outcome) before the journal says so, and each append to the journal
// is fenced by the sequence that its writer read last: a worker that was overtaken can't write, so it does nothing more.
// What a conversation does next is always worked out from its State, the fold of its journal, so that going on after a
// crash, after a cut socket and after an ordinary turn are one piece of code (see plan.go).
//
// It does not know JetStream (worker/queue does), does not decide (rules does) and does not deliver (sinks does).
package worker
