package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// action is one entry of a rule's `actions`, compiled.
type action struct {
	kind    Kind
	webhook *Webhook
	order   *expression // nil is no order
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
	e.limits = usual
	if a.webhook != nil {
		e.limits = limits{a.webhook.MaxHeader, a.webhook.MaxBody}
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
		if out.Path, err = a.path.render(e, pathValue, a.webhook.MaxURL); err == nil {
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
	if most := a.webhook.MaxURL; len(a.webhook.URL)+len(out.Path)+1+len(out.Query) > most {
		return fmt.Errorf("url: %w: over %s", errTooLong, sizeText(most))
	}
	if out.Order, err = a.renderOrder(e); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	return nil
}

// renderOrder gives the value that deliveries are ordered by. It is hashed: it need not fit into a subject, and what it
// says is nobody's business there.
func (a *action) renderOrder(e *evaluation) (string, error) {
	if a.order == nil {
		return "", nil
	}
	s, err := e.key(a.order, a.webhook.Order)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12]), nil
}

func (a *action) renderQuery(e *evaluation) (string, error) {
	var b strings.Builder
	for _, q := range a.query {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		s, err := q.value.render(e, queryValue, a.webhook.MaxURL)
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
		s, err := h.value.render(e, headerValue, e.limits.header)
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
