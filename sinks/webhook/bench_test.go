package webhook_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dgworker/sinks"
	"dgworker/sinks/webhook"
)

const (
	atOnce = 64
	round  = 1000 // posts of one side before the other has its turn
)

// BenchmarkWebhook posts 1 KB bodies, 64 at once, through a sink and through a bare http.Client with keep-alive. The
// two take turns within one run, so that what else the machine does falls on both; ratio is the sink's rate by the
// client's and must be at least 0.85.
func BenchmarkWebhook(b *testing.B) {
	server := newReceiver(b, nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		io.WriteString(w, `{"ok":true}`)
	})
	d := delivery()
	d.Body = bytes.Repeat([]byte("x"), 1<<10)
	sides := []func(){throughSink(b, server.URL, d), throughClient(b, server.URL, d.Body)}
	for _, side := range sides {
		posts(round, side) // connections, pools and the processor's clock
	}
	var took [2]time.Duration
	var ratios []float64
	b.ResetTimer()
	for done := 0; done < b.N; done += round {
		var pair [2]time.Duration
		for i := range sides {
			i = (i + len(ratios)) % 2 // neither is always the first
			pair[i] = posts(round, sides[i])
			took[i] += pair[i]
		}
		ratios = append(ratios, pair[1].Seconds()/pair[0].Seconds())
	}
	b.StopTimer()
	slices.Sort(ratios)
	b.ReportMetric(float64(len(ratios)*round)/took[0].Seconds(), "webhook/s")
	b.ReportMetric(float64(len(ratios)*round)/took[1].Seconds(), "bare/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// posts makes n posts, 64 at once.
func posts(n int64, post func()) time.Duration {
	var wg sync.WaitGroup
	var next atomic.Int64
	began := time.Now()
	for range atOnce {
		wg.Go(func() {
			for next.Add(1) <= n {
				post()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

func throughSink(b *testing.B, url string, d sinks.Delivery) func() {
	s := newSink(b, webhook.Config{URL: url, Concurrency: atOnce})
	return func() {
		if v := s.Deliver(context.Background(), d); v.Class != sinks.Delivered {
			b.Errorf("verdict %+v", v)
		}
	}
}

func throughClient(b *testing.B, url string, body []byte) func() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConns, transport.MaxIdleConnsPerHost = nil, atOnce, atOnce
	client := &http.Client{Transport: transport}
	b.Cleanup(client.CloseIdleConnections)
	return func() {
		resp, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
