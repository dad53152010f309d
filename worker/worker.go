package worker

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/sinks"
)

// Journal keeps one subject per prompt.
type Journal interface {
	// Append stores r if the prompt's last record is at sequence last (0: if it has none), and returns its sequence. It
	// tries until it knows the answer or ctx ends; ErrFenced means that somebody else has written.
	Append(ctx context.Context, prompt string, last uint64, r *Record) (seq uint64, err error)
	// Read calls apply with each record of the prompt in order.
	Read(ctx context.Context, prompt string, apply func(r *Record, seq uint64)) error
}

// Outcomes keeps what every prompt ended in.
type Outcomes interface {
	// Publish stores o unless the prompt has an outcome already, or was taken over after fence (0: or at all); both are
	// ErrFenced. An outcome that is dead is copied to the dead letters, and one with a reply_to is sent there too.
	Publish(ctx context.Context, o *Outcome, replyTo string, fence uint64) error
	// TakeOver makes sure that no outcome is stored any more of those who held prompt before; one may be under way, and
	// arrive at any time. record is the sequence of the journal's record with which the caller took the prompt: of two
	// callers the later record wins, and the other one gets ErrFenced. It returns the fence for Publish, or that the prompt has its
	// outcome.
	TakeOver(ctx context.Context, prompt string, record uint64) (fence uint64, settled bool, err error)
	// Settled says whether the prompt has an outcome, and completes what its publisher may have left undone.
	Settled(ctx context.Context, prompt string) (bool, error)
}

// Outbox takes actions that are to be delivered, each id once.
type Outbox interface {
	Enqueue(ctx context.Context, d sinks.Delivery) error
}

// Peers are the other workers.
type Peers interface {
	// Holds asks the worker of that identity whether it holds prompt. False without an error means that it doesn't, or is
	// gone.
	Holds(ctx context.Context, identity, prompt string) (bool, error)
}

// Config of a Worker. Journal, Outcomes, Outbox and Rules are required.
type Config struct {
	Name     string // how outcomes and records name this worker; defaults to host-pid
	Journal  Journal
	Outcomes Outcomes
	Outbox   Outbox
	Claims   rules.Claims
	Peers    Peers                         // asked before a prompt is taken over from a worker that may be alive; nil asks nobody
	Lease    time.Duration                 // for how long after an append nobody else takes the prompt over, so that its writer may act on it also where its Job has no Until; defaults to 5s, half of AckWait
	Dials    int                           // sockets that are opened at once; defaults to 64
	Live     func(subject string, l *Live) // sends what is watched on its way; nil sends nothing
	Reply    func(subject string) bool     // which reply_to subjects are allowed; nil allows none
	Log      *zap.Logger
	Metrics  *Metrics
}

// Worker holds conversations. Its methods are safe for concurrent use.
type Worker struct {
	Config
	generation atomic.Pointer[generation]
	born       string // tells this Worker from every other of its name, also from the one before a restart
	nonce      atomic.Uint64

	mu   sync.Mutex
	open map[string]bool // ids of the prompts held here
}

// generation is one rule set with what hangs on its bots. A conversation keeps the one it began with.
type generation struct {
	set   *rules.Set
	lines map[string]*Line
}

// New returns a Worker that decides by set.
func New(c Config, set *rules.Set) (*Worker, error) {
	if c.Journal == nil || c.Outcomes == nil || c.Outbox == nil {
		return nil, fmt.Errorf("make worker: journal, outcomes and outbox are required")
	}
	if c.Name == "" {
		host, _ := os.Hostname()
		c.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	c.Lease = withDefault(c.Lease, 5*time.Second)
	c.Dials = withDefault(c.Dials, 64)
	w := &Worker{Config: c, born: uuid.NewString()[:8], open: map[string]bool{}}
	return w, w.Use(set)
}

func withDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Use makes set the rules of every conversation that begins from now on. A bot whose entry is unchanged keeps its
// breaker and its count of conversations.
func (w *Worker) Use(set *rules.Set) error {
	old := w.generation.Load()
	next := &generation{set: set, lines: map[string]*Line{}}
	for _, b := range set.Bots() {
		if old != nil && old.lines[b.Name] != nil && *old.lines[b.Name].bot == *b {
			next.lines[b.Name] = old.lines[b.Name]
			continue
		}
		line, err := newLine(b, w.Dials, w.Log, w.Metrics)
		if err != nil {
			return fmt.Errorf("use bot %s: %w", b.Name, err)
		}
		next.lines[b.Name] = line
	}
	w.generation.Store(next)
	return nil
}

// Line returns the line to a bot by the rules in use, or nil if they don't have it.
func (w *Worker) Line(bot string) *Line { return w.generation.Load().lines[bot] }

// Rules returns the rule set in use.
func (w *Worker) Rules() *rules.Set { return w.generation.Load().set }

// label is bot as a label of metrics: a name that the rules don't know could be any, and any number of them.
func (g *generation) label(bot string) string {
	if _, known := g.set.Bot(bot); known {
		return bot
	}
	return "(unknown)"
}

// enter notes that this process holds the prompt; false means that it already does.
func (w *Worker) enter(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[id] {
		return false
	}
	w.open[id] = true
	return true
}

func (w *Worker) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, id)
}

// Holds says whether this process holds the prompt.
func (w *Worker) Holds(prompt string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[prompt]
}

// Identity tells this Worker from every other, also from the one before a restart.
func (w *Worker) Identity() string { return w.born }

// identity is that of whoever signed a record.
func identity(writer string) string {
	parts := strings.Split(writer, "/")
	return parts[max(0, len(parts)-2)]
}

// writer signs a record so that no other record has the same signature. The name alone would not do: in a container that
// is started again, host and pid are what they were.
func (w *Worker) writer() string {
	return fmt.Sprintf("%s/%s/%d", w.Name, w.born, w.nonce.Add(1))
}
