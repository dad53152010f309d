package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dgworker/sinks"
)

// methods that a rule may ask for. CONNECT and TRACE mean something else to every box on the way.
var methods = map[string]bool{"": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "GET": true, "HEAD": true}

// check refuses what can never be sent. The rules have rendered and escaped all of it; the sink looks again because a
// stored delivery may be older than the rules that are running, and because what passes here goes onto the wire as it is.
func check(d sinks.Delivery) error {
	switch {
	case !sinks.ValidID(d.ID):
		return errors.New("the id is not of the form [A-Za-z0-9_-]{1,64}")
	case !methods[d.Method]:
		return fmt.Errorf("the method %q is not supported", sinks.Clean(d.Method, 20))
	case d.Path != "" && d.Path[0] != '/':
		return errors.New(`the path does not begin with "/"`)
	case !printableASCII(d.Path) || strings.ContainsAny(d.Path, "?#\\"):
		return errors.New("the path is not escaped")
	case !printableASCII(d.Query) || strings.Contains(d.Query, "#"):
		return errors.New("the query is not encoded")
	}
	for name, value := range d.Headers {
		if err := checkHeader(name, value); err != nil {
			return err
		}
	}
	return checkSegments(d.Path)
}

// checkSegments refuses what climbs out of the endpoint's path, in plain or in escaped spelling.
func checkSegments(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return errors.New("the path is not escaped")
		}
		if plain == "." || plain == ".." {
			return errors.New(`the path has a segment "." or ".."`)
		}
	}
	return nil
}

// printableASCII holds for what needs no further escaping on a request line.
func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// template is what all requests have in common.
func template() *http.Request {
	return &http.Request{Method: http.MethodPost, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

// request builds one attempt at d. authorization may be empty.
func (s *Sink) request(ctx context.Context, d sinks.Delivery, authorization string) *http.Request {
	req := s.template.WithContext(ctx)
	req.URL, req.Header, req.ContentLength = s.target(d), s.header(d, authorization), int64(len(d.Body))
	if d.Method != "" {
		req.Method = d.Method
	}
	if len(d.Body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(d.Body)) // and no GetBody: net/http must not send it again by itself
	}
	return req
}

func (s *Sink) header(d sinks.Delivery, authorization string) http.Header {
	h := make(http.Header, len(s.static)+len(d.Headers)+4)
	for name, values := range s.static {
		h[name] = values
	}
	for name, value := range d.Headers {
		h.Set(name, value)
	}
	own := [4]string{d.ID, strconv.FormatInt(time.Now().Unix(), 10), "", authorization}
	own[2] = s.signer.sign(own[0], own[1], d.Body)
	h["Webhook-Id"], h["Webhook-Timestamp"], h["Webhook-Signature"] = own[0:1:1], own[1:2:2], own[2:3:3]
	if authorization != "" {
		h["Authorization"] = own[3:4:4]
	}
	return h
}

// target joins the endpoint's URL with the delivery's path and query. The delivery's part is escaped already, and stays
// as it is; scheme, host and port are the endpoint's alone.
func (s *Sink) target(d sinks.Delivery) *url.URL {
	if d.Path == "" && d.Query == "" {
		return s.url
	}
	u := *s.url
	if d.Path != "" {
		u.RawPath = strings.TrimSuffix(u.EscapedPath(), "/") + d.Path
		u.Path, _ = url.PathUnescape(u.RawPath) // both halves were checked
	}
	if d.Query != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+d.Query, "&")
	}
	return &u
}
