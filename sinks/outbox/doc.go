// Package outbox is the durable queue of deliveries: what a fired rule asked for, kept in JetStream until its sink took
// it or until it is a dead letter that says why.
//
// It owns the stream of actions, one lane (a durable consumer) per endpoint, the schedule of attempts, the breaker, the
// disabling of endpoints, the attempt log, and the reading and redriving of all that. It doesn't own the transport (the
// sinks do), the stream of dead letters (the worker's queue creates it; the outbox writes to it) nor what a prompt is.
//
// # Life of an action
//
// An action lives on three subjects of one work-queue stream, and the last message among them is its state:
//
//	<prefix>.actions.<endpoint>.<action>.todo   waits to be taken by a lane
//	<prefix>.actions.<endpoint>.<action>.wait   a JetStream schedule whose target is todo: the next attempt has a time
//	<prefix>.actions.<endpoint>.<action>.done   settled: delivered or dead, without its body, for Config.Retain
//
// Every step is one publish that expects the sequence its writer has read as the last under <endpoint>.<action>.*, and
// only then is the message it replaces acknowledged. So whoever holds an action that somebody else has settled is
// refused, and a step that was cut off anywhere can be taken again:
//
//	enqueue    todo expecting nothing      already there: nothing to do
//	delivered  done expecting one's todo   then ack
//	again      wait expecting one's todo   then ack
//	dead       the dead letter, then done  then ack
//	gone       disable the endpoint, then todo expecting one's todo, then ack
//	not yet    wait expecting one's todo, for an action whose turn it isn't (see order.go), then ack
//
// What can't be had: a worker that dies between a destination's yes and the done leaves a todo, and the destination
// sees the action a second time, under the same id.
package outbox
