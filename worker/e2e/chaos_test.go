package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dgworker/worker/dgbot/dgbotsim"
)

// chaosScript is the bot of the chaos run: quick, with tools, a question back, a handoff and small talk.
const chaosScript = `
delay: 2ms
replies:
  - match: (?i)person
    steps: [{stream: "I will get someone."}, {handoff: A colleague can take over.}]
  - match: (?i)refund.*?(\d+)
    steps: [{stream: Let me look.}, {tool: {name: lookup_order, takes: 20ms}}, {tool: {name: issue_refund, takes: 20ms}}, {stream: "Your refund for $1 has been issued."}]
  - match: (?i)refund
    steps: [{stream: "Which order is it about?"}]
  - match: (?i)stock
    steps: [{tool: {name: check_stock, status: error, takes: 20ms}}, {stream: "I can't reach the warehouse."}]
  - match: (?i)take your time
    steps: [{wait: 400ms}, {stream: Here I am.}]
  - steps: [{stream: Noted.}]
`

const chaosRules = `
bots:
  support: {key: support, url: "%[1]s", settle: 60ms, resume_wait: 2s, turn_timeout: 20s, max_attempts: 5}
  never: {key: never, url: "%[1]s", settle: 60ms, resume_wait: 2s, resend: never}
  patient: {key: patient, url: "%[1]s", settle: 60ms, on_handoff: wait, handoff_wait: 3s}
webhooks:
  office: {url: "%[2]s", secret: "%[3]s", timeout: 1s, concurrency: 16, allow: [127.0.0.0/8], retry: [0s, 1s, 1s, 1s, 1s, 2s, 2s, 2s, 2s, 2s, 3s, 3s]}
rules:
  - {name: issued, on: tool_action_result, when: 'event.tool == "issue_refund" && event.status == "done"', actions: [{webhook: office, body: {prompt: "{{ prompt.id }}"}}]}
  - {name: broken, on: tool_action_result, when: 'event.status == "error"', actions: [{publish: office.broken}, {webhook: office}]}
  - {name: confirmed, on: final_response, when: 'response.text matches "issued"', actions: [{publish: office.confirmed}]}
  - {name: which, on: final_response, when: 'response.text matches "(?i)which order"', actions: [{reply: "A refund for 4711, please."}]}
  - {name: person, on: handoff_offered, once: conversation, actions: [{publish: office.person}]}
  - {name: ended, on: conversation_ended, bots: [support], actions: [{publish: office.ended}]}
`

// window is a stretch of time.
type window struct{ from, to time.Time }

// chaos is one run: what it is played with, and what has been accepted so far.
type chaos struct {
	t        *testing.T
	random   *rand.Rand
	nc       *nats.Conn
	js       jetstream.JetStream
	nats     []*process
	links    [][]*proxy // how each server reaches the others
	proxies  []*proxy
	workers  []*process
	sim      *dgbotsim.Server
	receiver *receiver

	mu       sync.Mutex
	accepted map[string]bool // ids of prompts that NATS acknowledged
	stopped  []window        // when a worker stood still, or was on the smaller side of a cluster that is parted
	ended    atomic.Int64    // outcomes seen so far: paces prompts and faults, proves nothing
	played   map[string]int  // faults
}

// TestChaos kills and cuts everything while prompts pass through, and then reconciles what went in with what came out.
func TestChaos(t *testing.T) {
	n, seed := *chaosPrompts, *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -chaos.seed=%d -chaos.prompts=%d -chaos.workers=%d -chaos.ack-wait=%s -chaos.latency=%s", seed, n, *chaosWorkers, chaosAckWait, chaosLatency)
	c := newChaos(t, seed, n)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second+time.Duration(n)*100*time.Millisecond)
	defer cancel()
	var playing, supervising sync.WaitGroup
	over := make(chan struct{})
	supervising.Go(func() { c.supervise(over) })
	playing.Go(func() { c.send(ctx, n) })
	c.breakThings(ctx, n)
	playing.Wait()
	c.settle(ctx, n)
	close(over)
	supervising.Wait()
	c.reconcile(t.Context())
}

func newChaos(t *testing.T, seed uint64, n int) *chaos {
	c := &chaos{t: t, random: rand.New(rand.NewPCG(seed, 1)), accepted: map[string]bool{}, played: map[string]int{}}
	servers, replicas := 1, "1"
	if n >= 5000 {
		servers, replicas = 3, "3"
	}
	var urls string
	c.nats, urls, c.links = startNATS(t, servers)
	c.nc = connect(t, urls)
	var err error
	if c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	script, err := dgbotsim.ParseScript([]byte(chaosScript))
	if err != nil {
		t.Fatal(err)
	}
	c.sim = dgbotsim.New(script, dgbotsim.WithHistory(1<<20), dgbotsim.WithFaults(dgbotsim.Faults{Seed: seed, Drop: 0.05, Refuse: 0.02}))
	if err := c.sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.sim.Close() })
	c.receiver = startReceiver(t, seed, 0.3)
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, fmt.Appendf(nil, chaosRules, c.sim.URL(), c.receiver.server.URL, secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range *chaosWorkers {
		p := startProxy(t, strings.TrimPrefix(strings.Split(urls, ",")[i%servers], "nats://"))
		p.latency = *chaosLatency
		c.proxies = append(c.proxies, p)
		c.workers = append(c.workers, startProcess(t, fmt.Sprintf("worker%d", i), "dgworker", "run", "--rules", rules, "--nats", p.url(),
			"--ack-wait", chaosAckWait.String(), "--concurrency", "32", "--drain-timeout", "2s", "--admin", "off", "--replicas", replicas, "--unknown-grace", "1s"))
	}
	return c
}

// supervise starts workers that have ended by themselves, as systemd would: one that finds no NATS for long enough ends.
func (c *chaos) supervise(over <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, w := range c.workers {
			w.revive()
		}
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

// send publishes prompts of every kind, never more than a window ahead of the outcomes.
func (c *chaos) send(ctx context.Context, n int) {
	const window = 120
	for i := range n {
		c.waitFor(ctx, int64(i-window))
		subject, id, payload := chaosPrompt(i)
		msg := &nats.Msg{Subject: subject, Data: []byte(payload), Header: nats.Header{"Nats-Msg-Id": {id}}}
		for {
			// Published again until it is acknowledged; the id keeps a prompt that was stored unheard from being two.
			try, cancel := context.WithTimeout(ctx, 3*time.Second) // the answer may be lost with its server
			_, err := c.js.PublishMsg(try, msg)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				c.t.Errorf("prompt %s was not accepted in time: %v", id, err)
				return
			}
		}
		c.mu.Lock()
		c.accepted[id] = true
		c.mu.Unlock()
	}
}

// chaosPrompt is the i-th prompt: a third of them in lanes or of a named visitor, one in eight not valid.
func chaosPrompt(i int) (subject, id, payload string) {
	id = fmt.Sprintf("c%06d", i)
	subject = "dgbot.prompts.support"
	say := func(text string) string { return fmt.Sprintf(`{"id":%q,"content":"%s (%s)"}`, id, text, id) }
	switch i % 16 {
	case 0, 1:
		return subject, id, say("A refund for order 1234")
	case 2:
		return subject, id, fmt.Sprintf(`{"id":%q,"messages":["Hello","A refund for order 5678","Thanks"]}`, id)
	case 3:
		return subject, id, say("I want a refund")
	case 4:
		return subject, id, say("A person, please")
	case 5:
		return subject, id, say("Is it in stock?")
	case 6:
		return subject, id, `{"content": 5}`
	case 7:
		return "dgbot.prompts.nobody", id, say("Hello")
	case 8:
		return subject, id, "Plain text"
	case 9:
		return subject, id, fmt.Sprintf(`{"id":%q,"visitor_id":"named-%d","content":"Take your time (%s)"}`, id, i/16%2, id)
	case 10:
		return "dgbot.prompts.never", id, say("A refund for order 77")
	case 11:
		return "dgbot.prompts.never", id, say("Hello")
	case 12:
		return "dgbot.prompts.patient", id, say("A person, please")
	case 13: // in order with its lane, and not while the visitor is busy elsewhere
		return fmt.Sprintf("dgbot.prompts.support.lane-%d", i/16%7), id, fmt.Sprintf(`{"id":%q,"visitor_id":"named-%d","content":"Hello (%s)"}`, id, i/16%2, id)
	}
	return fmt.Sprintf("dgbot.prompts.support.lane-%d", i/16%7), id, say("A refund for order 99")
}

// waitFor waits until so many outcomes are stored. It asks the stream, since what a subscription hears is lost with its
// connection.
func (c *chaos) waitFor(ctx context.Context, outcomes int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.ended.Load() < outcomes && ctx.Err() == nil {
		select {
		case <-tick.C:
			c.look(ctx)
		case <-ctx.Done():
		}
	}
}

func (c *chaos) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if s, err := c.js.Stream(ctx, "DGBOT_OUTCOMES"); err == nil {
		c.ended.Store(int64(s.CachedInfo().State.Msgs))
	}
}

// breakThings plays every fault its number of times, shuffled and spread over the run.
func (c *chaos) breakThings(ctx context.Context, n int) {
	var deck []fault
	for _, f := range faults {
		for range f.times * max(1, n/2000) {
			deck = append(deck, f)
		}
	}
	c.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for i, f := range deck {
		c.waitFor(ctx, int64(n)*int64(i+1)/int64(len(deck)+2)-int64(c.random.IntN(10)))
		if ctx.Err() != nil {
			return
		}
		c.t.Logf("%s: %s", time.Now().Format(time.StampMilli), f.name)
		f.play(ctx, c)
		c.played[f.name]++
	}
}

func (c *chaos) anyWorker() *process { return c.workers[c.random.IntN(len(c.workers))] }
