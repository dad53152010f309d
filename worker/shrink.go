package worker

import "errors"

// ErrTooLarge says that a record or an outcome is larger than NATS's max_payload.
var ErrTooLarge = errors.New("larger than NATS's max_payload")

// Shrink takes something out of an outcome that is larger than NATS takes, the least missed first, and marks it as
// truncated. It returns false when there is nothing left to take. room is the number of bytes that it must come down to.
func (o *Outcome) Shrink(level, room int) bool {
	o.Truncated = true
	switch level {
	case 0: // frames as they came: their documented fields stay
		for i := range o.Turns {
			for j := range o.Turns[i].Events {
				o.Turns[i].Events[j].Raw = nil
			}
		}
	case 1: // rendered actions: the outbox has them
		for i := range o.Turns {
			for j := range o.Turns[i].Events {
				for k := range o.Turns[i].Events[j].Decisions {
					o.Turns[i].Events[j].Decisions[k].Actions = nil
				}
			}
		}
	case 2: // the prompt's data and headers: whoever sent it has them
		o.Prompt.Data, o.Prompt.Headers, o.Prompt.Payload = nil, nil, ""
	case 3:
		o.cutTexts(room / 4 / max(1, len(o.Turns)))
	case 4:
		o.Turns, o.Events, o.Greeting = []Turn{}, nil, nil
		o.Prompt = PromptRecord{}
		o.Response = cutText(o.Response, room/4)
	default:
		return false
	}
	return true
}

func (o *Outcome) cutTexts(most int) {
	for i := range o.Turns {
		t := &o.Turns[i]
		t.Message, t.Response, t.Interim = cutText(t.Message, most), cutText(t.Response, most), nil
	}
	o.Prompt.Content, o.Prompt.Messages = cutText(o.Prompt.Content, most), nil
	o.Response = cutText(o.Response, most)
}

// cutText cuts s to at most n bytes, at the boundary of a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
