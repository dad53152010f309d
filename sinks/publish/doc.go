// Package publish is the sink that publishes a delivery on NATS, once per call of Deliver.
//
// A message is the delivery's body, byte for byte, on its subject, with its headers, with Nats-Msg-Id (the delivery's id,
// the same on every attempt, so that a stream stores it once within its duplicate window) and with the headers of a
// CloudEvent 1.0 in binary mode (source: CloudEvents NATS protocol binding): ce-specversion, ce-id, ce-source, ce-type,
// ce-time, ce-subject (the prompt's id) and content-type. Their values are percent-encoded as that binding asks.
//
// # When it is delivered
//
// If a stream holds the subject, Delivered means that the stream has stored it: its acknowledgement is waited for. If
// none does, Delivered means that the server took the message, and it is gone if nobody listens: core NATS promises no
// more. Which of the two it is gets looked up, and remembered for Config.StreamTTL; a stream that appears meanwhile
// stores the message all the same, only unacknowledged.
//
// # The verdict
//
//	stored, or taken by the server                                  Delivered
//	disconnected, timeout, no answer, stream full, server trouble   Retry
//	not permitted; other refusals of the stream                     Limited to 3 attempts
//	a bad subject, id or header; larger than NATS or the stream takes   Permanent, where possible before sending
//
// The package owns no connection (the process gives one and closes it), no schedule and no queue: that is sinks/outbox.
package publish
