package dgbotsim

import (
	"context"
	"encoding/binary"

	"github.com/gorilla/websocket"
)

const fragment = 7 // bytes: small enough to cut every frame, and characters within

func (c *composer) garbage(kind string) {
	switch kind {
	case GarbageText:
		c.text([]byte("Internal Server Error"))
	case GarbageBinary:
		c.add(func(_ context.Context, to *conn) error {
			return to.write(websocket.BinaryMessage, []byte{0xDE, 0xAD, 0xBE, 0xEF})
		})
	case GarbageBadJSON:
		c.text([]byte(`{"type":"stream_chunk","message_id":"msg_`))
	case GarbageUnknownType:
		c.text([]byte(`{"type":"typing_indicator","visible":true,"meta":{"since":12.5,"who":["bot"]}}`))
	case GarbageFragments:
		id := c.newID()
		for _, frame := range [][]byte{
			object("type", "stream_start", "message_id", id),
			object("type", "stream_chunk", "message_id", id, "content", "These words — “in pieces” — are one message."),
			object("type", "stream_end", "message_id", id),
		} {
			c.add(func(_ context.Context, to *conn) error { return to.writeRaw(fragments(frame)) })
		}
	}
}

// fragments returns one text message as WebSocket frames of a few bytes each, with a control ping after the first, as
// RFC 6455 allows (section 5.4). The library has no call for it.
func fragments(message []byte) []byte {
	const final = 0x80
	var out []byte
	for opcode := byte(websocket.TextMessage); ; opcode = 0 {
		n := min(fragment, len(message))
		if n == len(message) {
			opcode |= final
		}
		out = append(out, opcode, byte(n))
		out = append(out, message[:n]...)
		message = message[n:]
		switch {
		case opcode&final != 0:
			return out
		case opcode == websocket.TextMessage:
			out = append(out, final|websocket.PingMessage, 2)
			out = binary.BigEndian.AppendUint16(out, 0x6869)
		}
	}
}
