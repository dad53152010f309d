package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"dgworker/sinks/sinktest"
	"dgworker/sinks/webhook"
)

const (
	headerSecret = "Bearer static-credential-4711"
	querySecret  = "token=in-the-query-0815"
)

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		Start:   startDestination,
		Secrets: []string{secret, secret[len("whsec_"):], headerSecret, querySecret, "in-the-query"},
	})
}

func startDestination(t *testing.T, mood sinktest.Mood) sinktest.Destination {
	received := make(chan sinktest.Received, 100)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		received <- sinktest.Received{ID: req.Header.Get("webhook-id"), Body: string(body)}
		switch mood {
		case sinktest.Stalls:
			<-release
		case sinktest.Refuses: // with what a debugging receiver echoes
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "\x1b[31mbad request:\n"+req.Header.Get("Authorization")+" "+req.URL.RawQuery+" "+secret)
		}
	}))
	if mood == sinktest.Absent {
		server.Close()
	}
	sink, err := webhook.New(webhook.Config{
		Name: "conformance", URL: server.URL + "/hooks?" + querySecret, Secrets: []string{secret}, Allow: loopback,
		Headers: map[string]string{"Authorization": headerSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := delivery()
	d.Method, d.Path, d.Query, d.Headers = "PUT", "/orders/R-17", "a=b", map[string]string{"X-Note": "hello"}
	return sinktest.Destination{Sink: sink, Delivery: d, Received: received, Stop: func() {
		close(release)
		sink.Close()
		server.Close()
	}}
}
