package worker

import (
	"dgworker/rules"
	"dgworker/worker/dgbot"
)

// HeaderLive names the subject on which somebody watches a conversation as it happens; only where reply_to would be
// allowed. What is sent there is best effort and no part of any promise: the outcome is.
const HeaderLive = "Dgworker-Live"

// Live is one thing that happens in a conversation that is watched.
type Live struct {
	Type      string `json:"type"` // a DGbot frame's type, "visitor" for our own message, "fired" for a rule
	MessageID string `json:"message_id,omitempty"`
	Content   string `json:"content,omitempty"`
	Tool      string `json:"tool,omitempty"`
	Status    string `json:"status,omitempty"`
	AgentName string `json:"agent_name,omitempty"`
	Rule      string `json:"rule,omitempty"`
	Action    string `json:"action,omitempty"`
}

func (c *conversation) show(l *Live) {
	if c.p.Live != "" && c.w.Live != nil {
		c.w.Live(c.p.Live, l)
	}
}

func (c *conversation) showFrame(f *dgbot.Frame) {
	if c.p.Live == "" {
		return
	}
	content := f.Content
	if f.Type == string(rules.HandoffOffered) {
		content = f.Message
	}
	c.show(&Live{Type: f.Type, MessageID: f.MessageID, Content: content, Tool: f.Tool, Status: f.Status, AgentName: f.AgentName})
}

func (c *conversation) showFired(ds []rules.Decision) {
	if c.p.Live == "" {
		return
	}
	for _, d := range ds {
		if d.Result != rules.Fired {
			continue
		}
		for _, a := range d.Actions {
			c.show(&Live{Type: "fired", Rule: d.Rule, Action: string(a.Kind), Content: a.Endpoint + " " + a.Subject})
		}
	}
}
