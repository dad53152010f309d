package queue

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dgworker/worker"
)

// TestMain runs more tests at once than there are processors: they wait most of their time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test: reaching it is a failure.
const patience = time.Minute

// broker is a NATS server of a test's own.
type broker struct {
	t   *testing.T
	ctx context.Context
	srv *server.Server
}

func startBroker(t *testing.T, change ...func(*server.Options)) *broker {
	t.Helper()
	opts := server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	for _, f := range change {
		f(&opts)
	}
	srv, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("NATS isn't ready")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &broker{t, ctx, srv}
}

func (b *broker) connect() (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(b.srv))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

// config has short times, and a connection of its own.
func (b *broker) config() (Config, *observer.ObservedLogs) {
	b.t.Helper()
	nc, js := b.connect()
	core, logs := observer.New(zap.InfoLevel)
	return Config{
		Conn: nc, JetStream: js, AckWait: time.Second, Grace: 300 * time.Millisecond, Sweep: 100 * time.Millisecond, Log: zap.New(core),
	}, logs
}

func (b *broker) open() *Queue {
	b.t.Helper()
	c, _ := b.config()
	return b.openWith(c)
}

// openPatient opens a queue whose workers keep what they hold also on a machine that is busy with something else.
func (b *broker) openPatient() *Queue {
	b.t.Helper()
	c, _ := b.config()
	c.AckWait, c.Publish = 10*time.Second, patience
	return b.openWith(c)
}

func (b *broker) openWith(c Config) *Queue {
	b.t.Helper()
	q, err := Open(b.ctx, c)
	if err != nil {
		b.t.Fatal(err)
	}
	return q
}

// takes starts an intake that takes prompts of the bots, and stops it at the end of the test.
func (b *broker) takes(q *Queue, h Handler, slots int, bots ...Bot) *Intake {
	b.t.Helper()
	in := q.Start(h, slots)
	b.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		in.Stop(ctx)
	})
	in.SetBots(bots)
	return in
}

func (b *broker) publish(q *Queue, subject, payload string, headers ...string) {
	b.t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(payload)
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := q.JetStream.PublishMsg(b.ctx, msg); err != nil {
		b.t.Fatal(err)
	}
}

// left returns how many messages a stream holds.
func (b *broker) left(q *Queue, what string) uint64 {
	b.t.Helper()
	stream, err := q.JetStream.Stream(b.ctx, q.Names.Stream(what))
	if err != nil {
		b.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// awaitEmpty waits until the streams hold nothing: a settled message leaves its stream a moment after it was settled.
func (b *broker) awaitEmpty(q *Queue, streams ...string) {
	b.t.Helper()
	for _, what := range streams {
		for b.left(q, what) > 0 {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-b.ctx.Done():
				b.t.Fatalf("%d messages stay in %s", b.left(q, what), what)
			}
		}
	}
}

// desk is a handler that gives every prompt its outcome, and notes what it was brought.
type desk struct {
	q     *Queue
	work  func(context.Context, *worker.Job, *worker.Prompt) *worker.Disposition // nil: acknowledge
	admit func(context.Context) error

	mu     sync.Mutex
	order  map[string][]string // visitor -> contents, as they were begun
	active map[string]int      // visitor -> at once
	most   int                 // of all visitors at once
	now    int
	rivals []string // visitors who overlapped
	told   map[string]bool
	done   chan string
}

func newDesk(q *Queue) *desk {
	return &desk{q: q, order: map[string][]string{}, active: map[string]int{}, told: map[string]bool{}, done: make(chan string, 10_000)}
}

func (d *desk) Admit(ctx context.Context, _ string) error {
	if d.admit != nil {
		return d.admit(ctx)
	}
	return ctx.Err()
}

func (d *desk) Handle(ctx context.Context, job *worker.Job) worker.Disposition {
	p, err := worker.ParsePrompt(job, 1<<20)
	status := worker.Completed
	if err != nil || job.NoSuchBot {
		status = worker.Rejected
	}
	switch settled, err := d.q.Outcomes.Settled(ctx, p.ID); {
	case err != nil:
		return worker.Disposition{Verb: worker.Nak}
	case settled: // by this desk, which may have been cut off before it heard so
		d.tell(p.ID)
		return worker.Disposition{Verb: worker.Ack}
	}
	d.begin(p)
	defer d.end(p)
	if d.work != nil {
		if verb := d.work(ctx, job, p); verb != nil {
			return *verb
		}
	}
	o := &worker.Outcome{ID: p.ID, Bot: p.Bot, Status: status, Writer: fmt.Sprintf("%p/%s", d, p.ID), Reason: fmt.Sprint(err)}
	if err := d.q.Outcomes.Publish(ctx, o, "", 0); err != nil {
		return worker.Disposition{Verb: worker.Leave}
	}
	d.tell(p.ID)
	return worker.Disposition{Verb: worker.Ack}
}

// tell says once that a prompt has its outcome.
func (d *desk) tell(prompt string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.told[prompt] {
		d.told[prompt] = true
		d.done <- prompt
	}
}

func (d *desk) begin(p *worker.Prompt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order[p.VisitorID] = append(d.order[p.VisitorID], p.Content)
	d.now++
	d.most = max(d.most, d.now)
	if d.active[p.VisitorID]++; d.active[p.VisitorID] > 1 && p.VisitorID != "" {
		d.rivals = append(d.rivals, p.VisitorID)
	}
}

func (d *desk) end(p *worker.Prompt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now--
	d.active[p.VisitorID]--
}

// await waits for n outcomes.
func (d *desk) await(ctx context.Context, t *testing.T, n int) []string {
	t.Helper()
	var ids []string
	for range n {
		select {
		case id := <-d.done:
			ids = append(ids, id)
		case <-ctx.Done():
			t.Fatalf("%d of %d prompts have their outcomes: %s", len(ids), n, strings.Join(ids, " "))
		}
	}
	return ids
}
