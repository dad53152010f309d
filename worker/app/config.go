package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker/broker"
)

// Config of an App. Rules is required; a zero in any other field means its default.
type Config struct {
	Rules        string           // file, or folder of files
	NATS         broker.Settings  // where NATS is; with neither URL nor Context a server is embedded
	NATSWait     time.Duration    // how long Start waits for a NATS that can't be reached; defaults to not at all
	Embed        broker.Embed     // of the embedded server
	Prefix       string           // of every subject; defaults to "dgbot"
	Concurrency  int              // conversations at once; defaults to 256
	Admin        string           // address of the admin port; defaults to 127.0.0.1:8822, "off" for none
	AdminToken   string           // required where Admin isn't loopback
	Replicas     int              // of streams that are created; defaults to 1
	Memory       bool             // streams that are created live in memory, and are lost when NATS restarts
	Retain       time.Duration    // of journals, outcomes and delivered actions; defaults to 7 days
	AckWait      time.Duration    // after which a silent worker's prompts go to another; defaults to 10s
	DrainTimeout time.Duration    // how long Stop lets conversations finish; defaults to 30s
	AskTimeout   time.Duration    // how long a request on <prefix>.ask.<bot> waits for its outcome; defaults to 5m
	Grace        time.Duration    // how long a prompt waits for a worker that knows its bot; defaults to 10s
	MaxHops      int              // how many triggers in a row may lead to a prompt; defaults to 8
	ReplyTo      []string         // subject prefixes, besides inboxes, that prompts may have as reply_to
	Adapt        func(*rules.Set) // changes bots and webhooks of every rule set that is loaded; the demo takes them to its own servers
	Version      string           // of the program; defaults to "dev"
	Log          *zap.Logger
}

func (c *Config) fill() error {
	if c.Rules == "" {
		return errors.New("a rules file is needed: --rules rules.yaml")
	}
	def(&c.Prefix, "dgbot")
	def(&c.Concurrency, 256)
	def(&c.Admin, "127.0.0.1:8822")
	def(&c.Replicas, 1)
	def(&c.Retain, 7*24*time.Hour)
	def(&c.AckWait, 10*time.Second)
	def(&c.DrainTimeout, 30*time.Second)
	def(&c.MaxHops, 8)
	def(&c.Version, "dev")
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	for what, bad := range map[string]bool{
		"concurrency must be at least 1":               c.Concurrency < 1,
		"replicas must be 1, 3 or 5":                   c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5,
		"ack wait must be at least 1s":                 c.AckWait < time.Second,
		"retain must be at least 1m":                   c.Retain < time.Minute,
		"max hops must be at least 1":                  c.MaxHops < 1,
		"drain timeout must not be negative":           c.DrainTimeout < 0,
		"several replicas need a cluster: give --nats": c.Replicas > 1 && c.embeds(),
	} {
		if bad {
			return errors.New(what)
		}
	}
	return nil
}

func (c *Config) embeds() bool { return c.NATS.URL == "" && c.NATS.Context == "" }

func (c *Config) storage() jetstream.StorageType {
	if c.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// mayReply says whether a prompt may name subject as its reply_to.
func (c *Config) mayReply(subject string) bool {
	if subject == "" || strings.ContainsAny(subject, " \t\r\n*>") || strings.Contains(subject, "..") {
		return false
	}
	for _, prefix := range append([]string{"_INBOX", c.NATS.InboxPrefix}, c.ReplyTo...) {
		prefix = strings.TrimRight(prefix, ".>")
		if prefix != "" && strings.HasPrefix(subject, prefix+".") {
			return true
		}
	}
	return false
}

// fits refuses bots whose transcript could not be stored in one message.
func fits(set *rules.Set, maxPayload int64) error {
	const rest = 128 << 10 // what an outcome holds besides its transcript
	for _, b := range set.Bots() {
		if int64(b.MaxTranscript)+rest > maxPayload {
			return fmt.Errorf("bot %s: max_transcript is %d bytes, and NATS takes messages of %d (max_payload): lower the one to at most %d, or raise the other",
				b.Name, b.MaxTranscript, maxPayload, max(0, maxPayload-rest))
		}
	}
	return nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
