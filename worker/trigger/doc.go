// Package trigger makes prompts of events on NATS and of the time, as the triggers of the rules say:
//
//	event -> trigger -> prompt
//
// Where a stream holds a trigger's subject, a durable consumer of that stream reads it, named <prefix>-trigger-<name>: every
// worker takes part, an event is acknowledged once its prompt (or its dead letter) is stored, and what came while no worker
// ran is not lost. NATS keeps the subjects of streams apart, so of several streams that a wildcard meets each holds a part of
// its own, and each has its consumer. What no stream holds is read by a queue group, at most once, and a warning says so;
// such a subscription ignores the subjects that a stream holds, so no event is read twice. Streams that come later are found
// within Config.Refresh.
//
// The prompt's id is made of the trigger's name and the event's own id (Nats-Msg-Id within its subject, or that of a
// CloudEvent within its source), or else of its place in the stream. So an event that is delivered again makes the same
// prompt, and a prompt's id runs once: see packages worker and queue. An event that has no id and no stream has no place to
// be delivered again from.
//
// Events of a trigger that names visitors are taken one at a time over all workers, so that prompts of a visitor keep the
// order of their events.
//
// A trigger that fails, or that would go round in a circle (see worker.HeaderHops), leaves a dead letter with the event in
// it. See cron.go for those that go by the clock.
//
// Workers never delete a consumer. A trigger that is taken out of the rules keeps its place in the stream: to begin anew,
// give it another name, or delete its consumer.
package trigger
