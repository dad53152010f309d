package rules

import "time"

// The defaults of a bot, also those that Bot's fields state.
const (
	defaultBotURL      = "wss://dgbot.dgtech.co.in/ws"
	defaultMaxContent  = 32 << 10
	defaultHandoffWait = 30 * time.Minute
	day                = 24 * time.Hour
)

// bots reads the section of that name.
func (p *parser) bots(e entry) {
	if isEmpty(e.value) {
		return
	}
	entries, _ := p.entries(e.value, "bots", e.at)
	for _, e := range entries {
		if !p.checkName(e.key, e.at, "a bot") {
			continue
		}
		if _, twice := p.set.bots[e.key]; twice {
			p.problem(e.at, "", "the bot %q is in another file already", e.key)
			continue
		}
		p.set.bots[e.key] = p.bot(e)
	}
}

func (p *parser) bot(e entry) *Bot {
	b := &Bot{
		Name: e.key, URL: defaultBotURL, OnHandoff: "end", Resend: "unobserved",
		Settle: time.Second, ConnectTimeout: 10 * time.Second, TurnTimeout: 5 * time.Minute,
		HandoffWait: defaultHandoffWait, ResumeWait: 30 * time.Second,
		MaxAttempts: 5, MaxTurns: 10, MaxFrame: 1 << 20, MaxTranscript: 512 << 10, MaxEvents: 1000, MaxContent: defaultMaxContent,
		Breaker: Breaker{Requests: 10, Ratio: 0.5, Window: time.Minute, Open: time.Second, MaxOpen: 30 * time.Second},
	}
	keyed, waits := false, false
	limit := e.at
	ok := p.object(e.value, "bot "+e.key, e.at, fields{
		"key":             func(e entry) { keyed = true; p.filled(e, p.secret, &b.Key) },
		"url":             func(e entry) { p.botURL(e, b) },
		"ca":              func(e entry) { p.filled(e, p.literal, &b.CA) },
		"settle":          func(e entry) { p.duration(e, &b.Settle, 0, 10*time.Minute) },
		"connect_timeout": func(e entry) { p.duration(e, &b.ConnectTimeout, time.Millisecond, 10*time.Minute) },
		"turn_timeout":    func(e entry) { p.duration(e, &b.TurnTimeout, time.Millisecond, day) },
		"conversation_timeout": func(e entry) {
			limit = p.placeOr(e)
			p.duration(e, &b.ConversationTimeout, time.Millisecond, 7*day)
		},
		"on_handoff":        func(e entry) { p.oneOf(e, &b.OnHandoff, "end", "wait") },
		"handoff_wait":      func(e entry) { waits = p.duration(e, &b.HandoffWait, time.Millisecond, 7*day) },
		"resend":            func(e entry) { p.oneOf(e, &b.Resend, "unobserved", "never", "always") },
		"resume_wait":       func(e entry) { p.duration(e, &b.ResumeWait, 0, day) },
		"max_attempts":      func(e entry) { p.number(e, &b.MaxAttempts, 1, 1000) },
		"max_turns":         func(e entry) { p.number(e, &b.MaxTurns, 1, 1000) },
		"max_conversations": func(e entry) { p.number(e, &b.MaxConversations, 0, 1_000_000) },
		"rate":              func(e entry) { p.rate(e, &b.Rate) },
		"max_frame":         func(e entry) { p.size(e, &b.MaxFrame, 1<<10, 64<<20) },
		"max_transcript":    func(e entry) { p.size(e, &b.MaxTranscript, 1<<10, 64<<20) },
		"max_events":        func(e entry) { p.number(e, &b.MaxEvents, 1, 100_000) },
		"max_content":       func(e entry) { p.size(e, &b.MaxContent, 1, 1<<20) },
		"breaker":           func(e entry) { p.breaker(e, &b.Breaker) },
	})
	if ok && !keyed {
		p.problem(e.at, "add key: …, DGbot's chatbot id", "bot %s has no key", e.key)
	}
	p.handoffTime(b, waits, limit)
	return b
}

// handoffTime gives a conversation the time that waiting for a person may take, unless the file says both and they
// contradict each other.
func (p *parser) handoffTime(b *Bot, waits bool, at position) {
	given := b.ConversationTimeout > 0
	if !given {
		b.ConversationTimeout = 30 * time.Minute
		if b.OnHandoff == "wait" {
			b.ConversationTimeout = max(b.ConversationTimeout, b.HandoffWait)
		}
	}
	if given && waits && b.OnHandoff == "wait" && b.ConversationTimeout < b.HandoffWait {
		p.problem(at, "", "conversation_timeout is shorter than handoff_wait")
	}
}

func (p *parser) botURL(e entry, b *Bot) {
	if u, t, ok := p.url(e, "wss", "ws"); ok {
		for _, name := range []string{"key", "visitor_id"} {
			if u.Query().Has(name) {
				p.problem(t.start, "", "url: %s is added by dgworker, it can't be in the address", name)
				return
			}
		}
		b.URL = t.value
	}
}

// filled reads text that can't be empty.
func (p *parser) filled(e entry, read func(entry) (text, bool), into *string) {
	t, ok := read(e)
	if !ok {
		return
	}
	if t.value == "" {
		p.problem(t.start, "", "%s is empty", e.key)
		return
	}
	*into = t.value
}
