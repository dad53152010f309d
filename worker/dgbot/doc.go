// Package dgbot speaks DGbot's WebSocket protocol as a visitor does.
//
// Source: DGbot's "WebSocket protocol" document. A client connects to wss://dgbot.dgtech.co.in/ws with the query
// parameters key and visitor_id, sends {"type":"message","content":…} and, every 25 to 30 seconds, {"type":"ping"}. The
// bot answers with streams (stream_start, stream_chunk, stream_end, told apart by message_id), tool calls (tool_action,
// tool_action_result), and the events of a handoff to a person (handoff_offered, agent_joined, agent_message, agent_left).
//
// The package owns the wire and nothing above it:
//
//   - [Parse], [AppendMessage] and [Streams] are pure: bytes in, values out. They are fuzzed against encoding/json.
//   - [Client] dials, [Conn] sends, pings, reads and closes.
//
// It does not own turns, settling, retries, time limits of a conversation, or what an event means: the worker does. It
// starts no goroutine per connection: the caller's goroutine reads, and pings run off a timer. An idle connection holds
// a read buffer of 512 bytes; all other buffers are pooled and held only while a frame passes.
//
// No error of this package holds the query of the URL, so neither the bot's key nor the visitor's id reaches a log by it.
package dgbot
