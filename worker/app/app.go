package app

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/rules/rulesfile"
	"dgworker/sinks/outbox"
	"dgworker/worker"
	"dgworker/worker/admin"
	"dgworker/worker/ask"
	"dgworker/worker/broker"
	"dgworker/worker/queue"
	"dgworker/worker/trigger"
)

// App is one worker process.
type App struct {
	Config
	registry *prometheus.Registry
	reloads  *reloadMetrics

	embedded *broker.Server
	conn     *nats.Conn
	js       jetstream.JetStream
	queue    *queue.Queue
	outbox   *outbox.Outbox
	worker   *worker.Worker
	intake   *queue.Intake
	admin    *admin.Server
	sinks    *sinkSet
	ask      *ask.Service
	triggers *trigger.Service
	watch    *watcher
	keeping  func() // ends the noting of the rules' use; nil before it began

	ready    atomic.Bool
	draining atomic.Bool
	mu       sync.Mutex // of Reload
	broken   error      // why the rules on disk are not in use, nil if they are
	stop     func()
}

// New checks c and compiles the rules. It opens nothing.
func New(c Config) (*App, error) {
	if err := c.fill(); err != nil {
		return nil, err
	}
	a := &App{Config: c, registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.reloads = newReloadMetrics(a.registry)
	a.stop = sync.OnceFunc(a.stopAll)
	return a, nil
}

// Start opens everything in order and begins to take prompts. If it fails, what was opened is closed again.
func (a *App) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			a.stop()
		}
	}()
	set, err := a.load()
	if err != nil {
		return err
	}
	if err := a.untilNATSIsThere(ctx, a.connect); err != nil {
		return err
	}
	if err := fits(set, a.conn.MaxPayload()); err != nil {
		return err
	}
	if err := a.untilNATSIsThere(ctx, func() error { return a.openQueues(ctx) }); err != nil {
		return err
	}
	if err := a.openWorker(ctx, set); err != nil {
		return err
	}
	if err := a.openAdmin(); err != nil {
		return err
	}
	a.intake = a.queue.Start(a.worker, a.Concurrency)
	a.intake.SetBots(takenBots(set))
	a.ask, err = ask.Start(ask.Config{
		Conn: a.conn, JetStream: a.js, Prefix: a.Prefix, Version: a.Version, Timeout: a.AskTimeout, Log: a.Log,
		Known: func(bot string) bool { return a.worker.Line(bot) != nil }, Reply: a.mayReply,
	})
	if err != nil {
		return err
	}
	if err := a.openTriggers(ctx, set); err != nil {
		return err
	}
	a.watch, err = watchRules(a.Rules, a.Log, func() { _ = a.Reload(context.Background()) })
	if err != nil {
		return err
	}
	a.keeping = keepNoting(a.noteUse)
	a.ready.Store(true)
	a.Log.Info("ready", zap.String("version", a.Version), zap.String("worker", a.worker.Name), zap.String("nats", broker.Address(a.conn)),
		zap.String("rules", set.Version()), zap.Int("bots", len(set.Bots())), zap.Int("rule_count", len(set.Rules())),
		zap.Int("triggers", len(set.Triggers())), zap.Int("concurrency", a.Concurrency), zap.String("admin", a.AdminAddr()))
	return nil
}

func (a *App) load() (*rules.Set, error) {
	set, err := rulesfile.Load(a.Rules)
	if err == nil {
		err = trigger.Check(set, a.Prefix)
	}
	if err == nil && a.Adapt != nil {
		a.Adapt(set)
	}
	return set, err
}

func (a *App) connect() (err error) {
	settings := a.NATS
	if a.embeds() && a.embedded == nil {
		if a.embedded, err = broker.Start(a.Embed); err != nil {
			return err
		}
	}
	if a.embedded != nil {
		settings.URL = a.embedded.URL()
	}
	a.conn, a.js, err = broker.Connect(settings, "dgworker "+a.Version, a.Log)
	return err
}

func (a *App) openQueues(ctx context.Context) (err error) {
	ob := outbox.Config{
		JetStream: a.js, Prefix: a.Prefix, Replicas: a.Replicas, Storage: a.storage(), Retain: a.Retain, AckWait: a.AckWait,
		Log: a.Log, Metrics: a.registry,
	}
	a.queue, err = queue.Open(ctx, queue.Config{
		Conn: a.conn, JetStream: a.js, Prefix: a.Prefix, Replicas: a.Replicas, Storage: a.storage(), Retain: a.Retain,
		AckWait: a.AckWait, Grace: a.Grace, Log: a.Log,
	}, outbox.StreamConfig(ob))
	if err != nil {
		return err
	}
	a.outbox, err = outbox.New(ctx, ob)
	return err
}

func (a *App) openWorker(ctx context.Context, set *rules.Set) (err error) {
	a.sinks, err = newSinkSet(a.conn, a.js, a.Version)
	if err != nil {
		return err
	}
	a.worker, err = worker.New(worker.Config{
		Journal: a.queue.Journal, Outcomes: a.queue.Outcomes, Outbox: a.outbox, Claims: a.queue.Claims, Peers: a.queue.Peers,
		Lease: a.AckWait / 2, Live: a.live, Reply: a.mayReply, Log: a.Log, Metrics: worker.NewMetrics(a.registry),
	}, set)
	if err != nil {
		return err
	}
	if err := a.queue.Peers.Answer(a.worker.Identity(), a.worker.Holds); err != nil {
		return err
	}
	return a.use(ctx, set)
}

// use makes set the rules in use, sinks first: a rule must not fire at an endpoint that isn't there yet.
func (a *App) use(ctx context.Context, set *rules.Set) error {
	if err := a.queue.KeepRules(ctx, set); err != nil {
		return err
	}
	endpoints, done, err := a.sinks.endpoints(set)
	if err != nil {
		return err
	}
	if err := a.outbox.SetEndpoints(ctx, endpoints); err != nil {
		return err
	}
	done()
	return a.worker.Use(set)
}

// openTriggers comes last: what they make of an event must find its bot taken care of.
func (a *App) openTriggers(ctx context.Context, set *rules.Set) (err error) {
	a.triggers, err = trigger.Start(trigger.Config{Queue: a.queue, MaxHops: a.MaxHops, Metrics: a.registry, Log: a.Log})
	if err != nil {
		return err
	}
	return a.triggers.Use(ctx, set)
}

func (a *App) openAdmin() (err error) {
	if a.Admin == "off" {
		return nil
	}
	a.admin, err = admin.Start(admin.Config{
		Addr: a.Admin, Token: a.AdminToken, Metrics: a.registry, Log: a.Log, Checks: a.checks(),
	})
	return err
}

// AdminAddr is where the admin port listens, "" if it is off.
func (a *App) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr()
}

// NATSURL is where clients reach the NATS that the app uses.
func (a *App) NATSURL() string { return a.conn.ConnectedUrl() }

func takenBots(set *rules.Set) []queue.Bot {
	bots := make([]queue.Bot, 0, len(set.Bots()))
	for _, b := range set.Bots() {
		bots = append(bots, queue.Bot{Name: b.Name, Max: b.MaxConversations})
	}
	return bots
}

// live sends what happens in a conversation to whoever watches it. Nobody may be there any more.
func (a *App) live(subject string, l *worker.Live) {
	if data, err := json.Marshal(l); err == nil {
		_ = a.conn.Publish(subject, data)
	}
}
