package ruletest

import (
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"dgworker/rules"
)

// eventKeys are the keys of an event of each type, besides those that every event has.
var eventKeys = map[rules.EventType][]string{
	rules.ToolAction:        {"tool", "status", "raw"},
	rules.ToolActionResult:  {"tool", "status", "raw"},
	rules.HandoffOffered:    {"message", "raw"},
	rules.AgentJoined:       {"agent_name", "raw"},
	rules.AgentMessage:      {"agent_name", "content", "raw"},
	rules.AgentLeft:         {"raw"},
	rules.FinalResponse:     {"text", "message_id"},
	rules.ConversationEnded: {"status", "reason"},
	rules.Unknown:           {"raw"},
}

// needed are those that an event can't do without.
var needed = map[rules.EventType][]string{
	rules.ToolAction:        {"tool"},
	rules.ToolActionResult:  {"tool", "status"},
	rules.ConversationEnded: {"status"},
}

// statuses are those that an event can have, where the worker knows them all.
var statuses = map[rules.EventType][]string{
	rules.ToolActionResult:  {"done", "error"},
	rules.ConversationEnded: {"completed", "handoff", "failed", "interrupted", "rejected"},
}

func typeNames() []string {
	var names []string
	for _, t := range slices.Sorted(maps.Keys(eventKeys)) {
		names = append(names, string(t))
	}
	return names
}

func (r *fixtureReader) events(n ast.Node, what string) []happening {
	var all []happening
	r.list(n, what, func(n ast.Node) { all = append(all, r.happening(n)) })
	return all
}

// happening reads an event: a map, or the name of a type that needs nothing more.
func (r *fixtureReader) happening(n ast.Node) happening {
	var all []string
	for _, keys := range eventKeys {
		all = append(all, keys...)
	}
	f := map[string]ast.Node{"type": n}
	if !r.isText(n) {
		f = r.fields(n, "an event", append([]string{"type", "after", "at"}, all...)...)
	}
	r.move(f)
	h := happening{event: rules.Event{At: r.now}}
	kind, there := f["type"]
	if !there {
		r.problem(n, "", "an event has a type: one of %v", typeNames())
		return h
	}
	h.event.Type = rules.EventType(r.oneOf(kind, "type", typeNames()...))
	keys, known := eventKeys[h.event.Type]
	if !known {
		return h
	}
	r.fits(n, f, h.event.Type, keys)
	r.fill(&h, f)
	return h
}

// fits reports keys that the type of an event doesn't have, and those that it needs.
func (r *fixtureReader) fits(n ast.Node, f map[string]ast.Node, t rules.EventType, keys []string) {
	for key, v := range f {
		if key != "type" && key != "after" && key != "at" && !slices.Contains(keys, key) {
			r.problem(v, "", "an event of type %s has no %s", t, key)
		}
	}
	for _, key := range needed[t] {
		if _, there := f[key]; !there {
			r.problem(n, "", "an event of type %s has a %s", t, key)
		}
	}
}

func (r *fixtureReader) fill(h *happening, f map[string]ast.Node) {
	e := &h.event
	text := func(key string, into *string) {
		if v, there := f[key]; there {
			*into = r.text(v, key)
		}
	}
	text("tool", &e.Tool)
	text("message", &e.Message)
	text("reason", &e.Message)
	text("content", &e.Content)
	text("agent_name", &e.AgentName)
	if v, there := f["status"]; there {
		if words := statuses[e.Type]; words != nil {
			e.Status = r.oneOf(v, "status", words...)
		} else {
			e.Status = r.text(v, "status")
		}
	} else if e.Type == rules.ToolAction {
		e.Status = "calling"
	}
	if e.Type == rules.FinalResponse {
		h.response = &rules.Response{}
		text("text", &h.response.Text)
		text("message_id", &h.response.MessageID)
	}
	if !slices.Contains(eventKeys[e.Type], "raw") {
		return
	}
	e.Raw = frame(*e)
	if v, there := f["raw"]; there {
		var ok bool
		if e.Raw, ok = r.value(v, "raw").(map[string]any); !ok {
			r.problem(v, "", "raw is a map: the frame as DGbot sent it")
		}
	}
}

// frame is the frame of DGbot that an event without more in it comes from.
func frame(e rules.Event) map[string]any {
	if e.Type == rules.Unknown {
		return map[string]any{}
	}
	raw := map[string]any{"type": string(e.Type)}
	for key, value := range map[string]string{"tool": e.Tool, "status": e.Status, "message": e.Message, "content": e.Content, "agent_name": e.AgentName} {
		if value != "" {
			raw[key] = value
		}
	}
	return raw
}
