// Package queue is dgworker's JetStream: the streams, the prompts in and the outcomes out, the visitor lanes, the journal
// and the claims. It speaks the words of JetStream (Ack, Nak, InProgress, expected sequences) so that package worker need
// not.
//
// Three things here carry promises:
//
//   - The journal and the outcomes are fenced. Each append expects the sequence that its writer read, each outcome
//     expects that its prompt has none, whatever the status, and was not taken over. See journal.go, outcomes.go, fence.go.
//   - A worker never holds a prompt that it has no slot for, and no idle bot holds a slot that a busy one could use. See
//     slots.go and taker.go.
//   - Prompts of one visitor never overlap, and those of one lane keep their order. See lanes.go; heartbeat.go lets go of what
//     NATS may have given to another, and peers.go asks before something is taken from one that lives.
//
// It holds no conversation and decides nothing. It never deletes a consumer: a delete that races a create loses messages.
package queue
