package rules

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// action is one entry of a rule's `actions`, compiled.
type action struct {
	kind    Kind
	webhook *Webhook
	method  string
	path    *template // nil is none
	query   []queryPart
	headers []headerPart
	subject *template
	body    body // nil is the default body
	text    *template
}

// queryPart is a key with its value, or, without a key, a piece of a query that the rule wrote out.
type queryPart struct {
	key   string // encoded
	value *template
}

type headerPart struct {
	name  string
	value *template
}

// render makes the action that is stored and sent. Its error says which key of the action failed.
func (a *action) render(r *Rule, index int, e *evaluation, o *Occasion, s *Set) (Action, error) {
	out := Action{ID: ActionID(o.Prompt.ID, r.Name, index, o.Occurrence), Rule: r.Name, Index: index, Kind: a.kind}
	var err error
	switch a.kind {
	case KindWebhook:
		err = a.renderRequest(&out, e)
	case KindPublish:
		out.Endpoint = NATSEndpoint
		err = a.renderSubject(&out, e)
	case KindReply:
		return out, a.renderReply(&out, e, s)
	}
	if err != nil {
		return out, err
	}
	if err := a.renderHeaders(&out, e); err != nil {
		return out, err
	}
	if out.Body, err = a.renderBody(r.Name, e, &o.Facts, out.ID); err != nil {
		return out, fmt.Errorf("body: %w", err)
	}
	return out, nil
}

func (a *action) renderRequest(out *Action, e *evaluation) error {
	out.Endpoint, out.Method = a.webhook.Name, a.method
	var err error
	if a.path != nil {
		if out.Path, err = a.path.render(e, pathValue, maxURL); err == nil {
			last := a.path.parts[len(a.path.parts)-1].literal
			err = checkSegments(out.Path, strings.HasSuffix(last, "/"))
		}
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	if out.Query, err = a.renderQuery(e); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if len(a.webhook.URL)+len(out.Path)+1+len(out.Query) > maxURL {
		return fmt.Errorf("url: %w: over %s", errTooLong, sizeText(maxURL))
	}
	return nil
}

func (a *action) renderQuery(e *evaluation) (string, error) {
	var b strings.Builder
	for _, q := range a.query {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		s, err := q.value.render(e, queryValue, maxURL)
		if err != nil {
			return "", err
		}
		if q.key != "" {
			b.WriteString(q.key + "=")
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func (a *action) renderSubject(out *Action, e *evaluation) error {
	s, err := a.subject.render(e, subjectValue, maxSubject)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	out.Subject = s
	return nil
}

func (a *action) renderHeaders(out *Action, e *evaluation) error {
	if len(a.headers) > 0 {
		out.Headers = make(map[string]string, len(a.headers))
	}
	for _, h := range a.headers {
		s, err := h.value.render(e, headerValue, maxHeader)
		if err != nil {
			return fmt.Errorf("headers: %s: %w", h.name, err)
		}
		out.Headers[h.name] = s
	}
	return nil
}

func (a *action) renderReply(out *Action, e *evaluation, s *Set) error {
	limit := defaultMaxContent
	if b, ok := s.bots[e.bot]; ok {
		limit = b.MaxContent
	}
	text, err := a.text.render(e, freeText, limit)
	if err == nil && strings.TrimSpace(text) == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	out.Text = text
	return nil
}

// methods are those that a webhook action may use.
var methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet}
