package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Config of a Queue. Conn and JetStream are required.
type Config struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
	Prefix    string                // of every subject; defaults to "dgbot"
	Replicas  int                   // of the streams that are created; defaults to 1
	Storage   jetstream.StorageType // of the streams that are created; defaults to files
	Retain    time.Duration         // how long journals and outcomes are kept; defaults to 7 days
	AckWait   time.Duration         // after how long a silent worker's prompts go to another; defaults to 10s
	Grace     time.Duration         // how long a prompt waits for a worker that knows its bot; defaults to 10s
	Sweep     time.Duration         // how often unknown bots and lanes without a token are looked for; defaults to 3s
	Publish   time.Duration         // how long one publish may take before it is tried again; defaults to 5s
	Log       *zap.Logger
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func (c *Config) fill() error {
	if c.Conn == nil || c.JetStream == nil {
		return errors.New("open queue: a connection and JetStream are required")
	}
	c.Prefix = orDefault(c.Prefix, "dgbot")
	if !prefixPattern.MatchString(c.Prefix) {
		return fmt.Errorf("open queue: prefix %q must be tokens of A-Z a-z 0-9 _ - with dots between them", c.Prefix)
	}
	c.Replicas = orDefault(c.Replicas, 1)
	c.Retain = orDefault(c.Retain, 7*24*time.Hour)
	c.AckWait = orDefault(c.AckWait, 10*time.Second)
	c.Grace = orDefault(c.Grace, 10*time.Second)
	c.Sweep = orDefault(c.Sweep, 3*time.Second)
	c.Publish = orDefault(c.Publish, 5*time.Second)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return nil
}

func (c *Config) names() Names { return Names{c.Prefix} }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Queue is the open set of streams. Its parts are safe for concurrent use.
type Queue struct {
	Config
	publisher
	Names    Names
	Journal  *Journal
	Outcomes *Outcomes
	Claims   *Claims
	Peers    *Peers

	prompts, lanes, ready, letters jetstream.Stream
}

// Open makes sure that the streams exist, those of extra too, and returns the queue.
func Open(ctx context.Context, c Config, extra ...jetstream.StreamConfig) (*Queue, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	if err := EnsureStreams(ctx, &c, extra...); err != nil {
		return nil, err
	}
	q := &Queue{Config: c, publisher: publisher{c.JetStream, c.Publish, c.Log}, Names: c.names(), Peers: newPeers(&c)}
	for what, into := range map[string]*jetstream.Stream{"PROMPTS": &q.prompts, "LANES": &q.lanes, "READY": &q.ready, "DEAD": &q.letters} {
		s, err := c.JetStream.Stream(ctx, q.Names.Stream(what))
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", q.Names.Stream(what), err)
		}
		*into = s
	}
	journal, err := c.JetStream.Stream(ctx, q.Names.Stream("JOURNAL"))
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	outcomes, err := c.JetStream.Stream(ctx, q.Names.Stream("OUTCOMES"))
	if err != nil {
		return nil, fmt.Errorf("open outcomes: %w", err)
	}
	q.Journal = &Journal{publisher: q.publisher, names: q.Names, stream: journal}
	q.Outcomes = &Outcomes{publisher: q.publisher, names: q.Names, stream: outcomes, letters: q.letters, conn: c.Conn,
		fences: covers(outcomes.CachedInfo().Config.Subjects, q.Names.fence("*"))}
	q.Claims, err = openClaims(ctx, &c)
	return q, err
}
