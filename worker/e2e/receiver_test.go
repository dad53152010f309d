package e2e

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// secret signs the webhooks of these tests.
const secret = "whsec_ZGd3b3JrZXItZTJlLXNlY3JldC1ub3QtZm9yLXVzZQ=="

// receiver is a back office that verifies signatures with the public library and misbehaves for a share of requests.
type receiver struct {
	t      *testing.T
	server *httptest.Server
	verify *standardwebhooks.Webhook

	mu       sync.Mutex
	random   *rand.Rand
	trouble  float64        // share of requests that are answered badly
	accepted map[string]int // webhook-id -> how often it was answered with 2xx
	bodies   map[string]string
	forged   int
}

func startReceiver(t *testing.T, seed uint64, trouble float64) *receiver {
	t.Helper()
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{
		t: t, verify: verify, random: rand.New(rand.NewPCG(seed, 2)), trouble: trouble,
		accepted: map[string]int{}, bodies: map[string]string{},
	}
	r.server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender was killed
	}
	switch r.choose(req, body) {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset
			conn.Close()
		}
	case 3:
		<-req.Context().Done() // silence, until the sender gives up
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// choose notes the request and draws how it is answered: 0 to 3 are the four ways to misbehave.
func (r *receiver) choose(req *http.Request, body []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := req.Header.Get("webhook-id")
	if r.verify.Verify(body, req.Header) != nil {
		r.forged++
	}
	if before, seen := r.bodies[id]; seen && before != string(body) {
		r.t.Errorf("webhook %s came with another body", id)
	}
	r.bodies[id] = string(body)
	if r.random.Float64() < r.trouble {
		return r.random.IntN(4)
	}
	r.accepted[id]++
	return 4
}

// counts returns how many ids were accepted, and how many of those more than once.
func (r *receiver) counts() (ids, again, forged int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.accepted {
		if n > 1 {
			again++
		}
	}
	return len(r.accepted), again, r.forged
}
