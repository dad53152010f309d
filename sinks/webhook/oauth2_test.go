package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

const clientSecret = "client/secret+4711"

// newTokenServer answers with a token that counts up, or with what answer does.
func newTokenServer(t *testing.T, answer http.HandlerFunc) *receiver {
	var issued atomic.Int64
	return newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answer != nil {
			answer(w, req)
			return
		}
		fmt.Fprintf(w, `{"access_token":"access-token-%d","token_type":"bearer","expires_in":3600}`, issued.Add(1))
	})
}

func grant(tokens *receiver) *webhook.OAuth2 {
	return &webhook.OAuth2{TokenURL: tokens.URL + "/token", ClientID: "dgworker", ClientSecret: clientSecret, Scopes: []string{"hooks:write"}}
}

func TestOAuth2OneTokenForAll(t *testing.T) {
	t.Parallel()
	r, tokens := newReceiver(t, nil), newTokenServer(t, nil)
	s := newSink(t, webhook.Config{URL: r.URL, OAuth2: grant(tokens)})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if v := s.Deliver(context.Background(), delivery()); v.Class != sinks.Delivered {
				t.Errorf("verdict %+v", v)
			}
		})
	}
	wg.Wait()
	for _, got := range r.requests() {
		if v := got.Header.Get("Authorization"); v != "Bearer access-token-1" {
			t.Fatalf("Authorization %q", v)
		}
	}
	asked := tokens.only(t)
	if user, password, _ := asked.BasicAuth(); user != "dgworker" || password != "client%2Fsecret%2B4711" || !strings.Contains(asked.body, "scope=hooks%3Awrite") {
		t.Errorf("the token server was asked %q by %q", asked.body, user)
	}
}

// A 401 may mean that the token was revoked: the next attempt brings a new one.
func TestOAuth2NewTokenAfter401(t *testing.T) {
	t.Parallel()
	tokens := newTokenServer(t, nil)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") == "Bearer access-token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, "revoked: ", req.Header.Get("Authorization"))
		}
	})
	s := newSink(t, webhook.Config{URL: r.URL, OAuth2: grant(tokens)})
	v := deliver(t, s)
	expect(t, v, sinks.Limited, "401")
	if v.Excerpt != "revoked: Bearer [redacted]" {
		t.Errorf("excerpt %q", v.Excerpt)
	}
	expect(t, deliver(t, s), sinks.Delivered)
}

func TestOAuth2Errors(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, req *http.Request) { // what a careless token server says
		req.ParseForm()
		_, password, _ := req.BasicAuth()
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s %s %s"}`, password, req.Form.Get("client_secret"), clientSecret)
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.Header().Set("Location", "http://"+req.Host+"/elsewhere")
			w.WriteHeader(code)
			echo(w, req)
		}
	}
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  sinks.Class
		after  time.Duration
		says   string
	}{
		"400":           {status(400), sinks.Limited, 0, "400 Bad Request (invalid_client)"},
		"401":           {status(401), sinks.Limited, 0, "401 Unauthorized (invalid_client)"},
		"302":           {status(302), sinks.Limited, 0, "302 Found"},
		"200 and error": {echo, sinks.Limited, 0, "invalid_client"},
		"408":           {status(408), sinks.Retry, 0, "408"},
		"429":           {status(429), sinks.Retry, 30 * time.Second, "429"},
		"500":           {status(500), sinks.Retry, 0, "500"},
		"503":           {status(503), sinks.Retry, 30 * time.Second, "503"},
		"no JSON":       {text("<html>"), sinks.Retry, 0, "cannot parse"},
		"no token":      {text("{}"), sinks.Retry, 0, "missing access_token"},
		"line break":    {text(`{"access_token":"a\r\nHost: evil"}`), sinks.Retry, 0, "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, nil)
			v := deliver(t, newSink(t, webhook.Config{URL: r.URL, OAuth2: grant(newTokenServer(t, c.answer))}))
			expect(t, v, c.class, "get access token", c.says)
			if v.RetryAfter != c.after || (v.MaxAttempts == 3) != (c.class == sinks.Limited) || len(r.requests()) != 0 {
				t.Errorf("verdict %+v, %d requests", v, len(r.requests()))
			}
			for _, leak := range []string{clientSecret, "client%2Fsecret%2B4711", "4711"} {
				if strings.Contains(fmt.Sprint(v), leak) {
					t.Errorf("the verdict holds the secret: %+v", v)
				}
			}
		})
	}
}

// An attempt that waits for another one's token ends with its own context.
func TestOAuth2WaitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 1), make(chan struct{})
	tokens := newTokenServer(t, func(_ http.ResponseWriter, req *http.Request) { asked <- struct{}{}; <-release })
	s := newSink(t, webhook.Config{URL: tokens.URL, OAuth2: grant(tokens)})
	var wg sync.WaitGroup
	wg.Go(func() { s.Deliver(context.Background(), delivery()) })
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	expect(t, s.Deliver(ctx, delivery()), sinks.Retry, "stopped")
	close(release)
	wg.Wait()
}
