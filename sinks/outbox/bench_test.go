package outbox

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"dgworker/sinks"
)

var waiting = flag.Int("isolation.waiting", 100_000, "actions that wait for the dead endpoint in BenchmarkIsolation")

// BenchmarkIsolation measures from Enqueue to the sink's call for a healthy endpoint: by itself, and while a crowd of
// actions waits for an endpoint that is down. The figures should be the same.
func BenchmarkIsolation(b *testing.B) {
	b.Run("alone", func(b *testing.B) { measure(b, open(b, startServer(b).connect())) })
	b.Run(fmt.Sprintf("beside_%d_waiting", *waiting), func(b *testing.B) {
		o := open(b, startServer(b).connect())
		fill(b, o, "down", *waiting)
		measure(b, o, Endpoint{Name: "down", Sink: &always{verdict: failure}})
	})
}

func measure(b *testing.B, o *Outbox, others ...Endpoint) {
	sink := sinkFunc(nil)
	arrived := make(chan time.Time, 1)
	sink = func(context.Context, sinks.Delivery) sinks.Verdict {
		arrived <- time.Now()
		return sinks.Verdict{Class: sinks.Delivered, Status: 200}
	}
	set(b, o, append(others, fast("healthy", sink))...)
	var took []time.Duration
	n := 0
	for b.Loop() {
		d := delivery("healthy", fmt.Sprintf("a%d", n))
		n++
		begin := time.Now()
		if err := o.Enqueue(context.Background(), d); err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-arrived).Sub(begin))
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) }
	b.ReportMetric(at(0.5), "p50-µs")
	b.ReportMetric(at(0.99), "p99-µs")
}

// BenchmarkLane is the whole way of many actions through one lane: enqueue, take, attempt, settle.
func BenchmarkLane(b *testing.B) {
	o := open(b, startServer(b).connect())
	sink := &always{verdict: sinks.Verdict{Class: sinks.Delivered, Status: 200}, seen: make(chan string, 1<<20)}
	e := fast("healthy", sink)
	e.Concurrency = 64
	set(b, o, e)
	b.ResetTimer()
	fill(b, o, "healthy", b.N)
	for range b.N {
		<-sink.seen
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "actions/s")
}
