package rules

import (
	"context"
	"time"
)

// Result says what a rule did with an event.
type Result string

// The results. Fired and Shadow carry rendered actions; all the others carry none.
const (
	Fired     Result = "fired"     // `when` held: the actions go out
	False     Result = "false"     // `when` was false
	Error     Result = "error"     // the expression, a template or a cooldown key failed: Reason says how
	Once      Result = "once"      // suppressed: fired before in this turn or conversation, or for this visitor
	Cooldown  Result = "cooldown"  // suppressed until Until
	Shadow    Result = "shadow"    // `mode: shadow`: what it would have done, recorded and not done
	Off       Result = "off"       // `mode: off`
	OtherBot  Result = "other_bot" // `bots` leaves this bot out
	Backstop  Result = "backstop"  // a backstop that stood back: another live rule matched the event
	TurnLimit Result = "max_turns" // a reply that the worker suppressed: beyond max_turns, or after a handoff that ends
)

// Decision is what one rule did with one event.
type Decision struct {
	Rule    string    `json:"rule"`
	Result  Result    `json:"result"`
	Reason  string    `json:"reason,omitempty"`
	Until   time.Time `json:"until,omitzero"` // for Cooldown: when the claim ends
	Actions []Action  `json:"actions,omitempty"`
}

// Kind is the kind of an action.
type Kind string

// The kinds of action. Webhooks and publishes leave through the outbox, replies through the conversation.
const (
	KindWebhook Kind = "webhook"
	KindPublish Kind = "publish"
	KindReply   Kind = "reply"
)

// NATSEndpoint is the endpoint name of publish actions. No webhook may have this name.
const NATSEndpoint = "nats"

// Action is one rendered action of a fired rule: nothing in it is a template any more, and it is stored and sent as it
// stands, byte for byte, on every attempt.
type Action struct {
	ID       string            `json:"id"` // see ActionID
	Rule     string            `json:"rule"`
	Index    int               `json:"index"` // position in the rule's `actions`, from 0
	Kind     Kind              `json:"kind"`
	Endpoint string            `json:"endpoint,omitempty"` // webhook: its name; publish: NATSEndpoint
	Method   string            `json:"method,omitempty"`   // webhook; "POST" unless the rule says otherwise
	Path     string            `json:"path,omitempty"`     // webhook: escaped, begins with "/", added to the endpoint's URL
	Query    string            `json:"query,omitempty"`    // webhook: encoded, without "?"
	Order    string            `json:"order,omitempty"`    // webhook: deliveries with the same are made one after the other; "" is no order
	Subject  string            `json:"subject,omitempty"`  // publish
	Headers  map[string]string `json:"headers,omitempty"`
	Body     []byte            `json:"body,omitempty"` // webhook and publish; JSON unless the rule's body is a string
	Text     string            `json:"text,omitempty"` // reply
}

// Occasion is one event put to the rules: the facts, and what is needed to decide about it the same way again.
type Occasion struct {
	Facts
	Occurrence int // the event's ordinal in its conversation, from 1; part of the action's id

	// FiredInTurn and FiredInConversation say whether a rule fired before: what `once` asks. They don't count Shadow.
	FiredInTurn, FiredInConversation func(rule string) bool
	// Claims decides `once: visitor` and `cooldown`. Nil means that no claim is ever held (every one is granted).
	Claims Claims
}

// Claims is the memory that all workers share. The holder of a key is an action id, so that a claim which was made
// just before a crash is recognised as one's own when the same event is decided again.
type Claims interface {
	// Claim takes key for holder, for ttl (0: for as long as claims are kept). It returns granted true if nobody held
	// it or holder already did; otherwise when the claim that stands ends, which is zero if unknown or never.
	Claim(ctx context.Context, key string, holder string, ttl time.Duration) (granted bool, until time.Time, err error)
}
