// Package dgbotsim is a DGbot server for tests, demos and benchmarks: scripted, slow and faulty on demand.
//
// Source: DGbot's "WebSocket protocol" document. The server is written from that document and shares no code with the
// client of package dgbot, so that a mistake in one is not hidden by the same mistake in the other: any client of the
// document works against it.
//
// A [Script] says what the bot answers: steps (streams, tool calls, a handoff, a person, cuts, garbage) for the messages
// that match. [ParseScript] reads it from YAML, [Default] is a believable back office. A [Server] plays the script to any
// number of visitors, remembers what it received and lets tests wait for it without sleeping ([Server.Await]).
//
// It keeps the sessions of visitors apart by key and visitor_id, over all their connections. Messages that arrive while a
// visitor is being answered are answered in their order. It owns no judgement: whether a client behaved well is for its
// caller to conclude from [Server.Received], [Server.Stats] and [Server.Overlaps].
package dgbotsim
