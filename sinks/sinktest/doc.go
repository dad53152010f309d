// Package sinktest is the conformance suite of sinks: what the outbox relies on, checked against a real destination.
//
// A sink's test gives Run a Harness that starts the sink with a destination in one of four moods; the suite does the
// rest. It imports testing, so only _test files may import it.
package sinktest
