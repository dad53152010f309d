package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

type benchCommand struct {
	Prompts     int           `default:"5000" help:"Prompts that are put to the bot."`
	AtOnce      int           `default:"64" help:"Conversations of them at once."`
	Open        int           `default:"1000" help:"Conversations that are then held open, to see what one takes of memory; 0 for none. Each needs two file descriptors."`
	Rules       int           `default:"10" help:"Rules that look at every event, of which none fires."`
	Sync        string        `default:"always" placeholder:"always|INTERVAL" help:"When NATS syncs to disk."`
	Timeout     time.Duration `default:"5m" help:"Of the whole."`
	JSON        bool          `name:"json" help:"As JSON."`
	WorkerFlags []string      `arg:"" optional:"" name:"flag" help:"Flags of run for the worker, after --."`
}

// Help says what is measured.
func (benchCommand) Help() string {
	return `The whole path with everything on this machine: NATS with files, a simulated DGbot, and a worker as a process of its own,
which alone is measured. A conversation is one question, a tool, and an answer in twenty chunks: 24 frames. Compare figures of one
machine and one hour; the bot and NATS share its processors.`
}

// benchResult is what a run came to.
type benchResult struct {
	Prompts   int           `json:"prompts"`
	AtOnce    int           `json:"at_once"`
	Took      time.Duration `json:"took_ns"`
	Rate      float64       `json:"conversations_per_second"`
	P50       time.Duration `json:"latency_p50_ns"` // from the prompt's publish to its outcome
	P95       time.Duration `json:"latency_p95_ns"`
	P99       time.Duration `json:"latency_p99_ns"`
	CPU       float64       `json:"cpu_seconds_per_1000"` // of the worker
	Open      int           `json:"open"`
	PerOpen   float64       `json:"memory_bytes_per_open"` // resident, of the worker
	Completed int           `json:"completed"`
}

// Run measures and prints. It answers no if any conversation ended otherwise than it should.
func (c benchCommand) Run(e *env) error {
	if c.Prompts < 1 || c.AtOnce < 1 || c.Open < 0 || c.Rules < 0 {
		return fmt.Errorf("bench: --prompts and --at-once must be at least 1, --open and --rules at least 0")
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	s, err := c.stage(ctx)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer s.close()
	r, err := c.measure(ctx, s)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		err = printJSON(e.stdout, r)
	} else {
		err = r.write(e.stdout)
	}
	if err == nil && r.Completed != r.Prompts {
		err = fmt.Errorf("bench: %d of %d conversations completed: %w", r.Completed, r.Prompts, errNo)
	}
	return err
}

func (c benchCommand) measure(ctx context.Context, s *benchStage) (*benchResult, error) {
	if _, err := s.play(ctx, min(c.Prompts, 200), c.AtOnce); err != nil { // connections, pools, the processor's clock
		return nil, err
	}
	before, err := s.usage(ctx)
	if err != nil {
		return nil, err
	}
	played, err := s.play(ctx, c.Prompts, c.AtOnce)
	if err != nil {
		return nil, err
	}
	after, err := s.usage(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(played.latencies)
	at := func(part float64) time.Duration { return played.latencies[int(part*float64(len(played.latencies)-1))] }
	r := &benchResult{
		Prompts: c.Prompts, AtOnce: c.AtOnce, Took: played.took, Rate: float64(c.Prompts) / played.took.Seconds(), Completed: played.completed,
		P50: at(0.5), P95: at(0.95), P99: at(0.99), CPU: (after.cpu - before.cpu) * 1000 / float64(c.Prompts), Open: c.Open,
	}
	if c.Open > 0 {
		held, err := s.hold(ctx, c.Open)
		if err != nil {
			return nil, err
		}
		r.PerOpen = (held.memory - after.memory) / float64(c.Open)
	}
	return r, nil
}

func (r *benchResult) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d conversations, %d at once: %.0f a second\nlatency  p50 %s, p95 %s, p99 %s\nworker   %.3f CPU seconds per 1,000 conversations\n",
		r.Prompts, r.AtOnce, r.Rate, round(r.P50), round(r.P95), round(r.P99), r.CPU)
	if err == nil && r.Open > 0 {
		_, err = fmt.Fprintf(w, "memory   %.1f kB per open conversation, %d open\n", r.PerOpen/1000, r.Open)
	}
	return err
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
