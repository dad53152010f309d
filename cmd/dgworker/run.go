package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dgworker/worker/app"
	"dgworker/worker/broker"
)

type runCommand struct {
	RulesPath    string        `name:"rules" type:"path" required:"" placeholder:"FILE" env:"DGWORKER_RULES" help:"Rules file, or folder of files."`
	NATS         natsFlags     `embed:""`
	Concurrency  int           `default:"256" env:"DGWORKER_CONCURRENCY" help:"Conversations at once. An eighth is kept for the bots in equal parts, so that one that is slow holds up no other."`
	Admin        string        `default:"127.0.0.1:8822" env:"DGWORKER_ADMIN" help:"Admin port: /livez /readyz /metrics; off for none."`
	AdminToken   string        `placeholder:"SECRET" env:"DGWORKER_ADMIN_TOKEN" help:"Bearer token of the admin port; needed where it isn't on loopback."`
	NATSWait     time.Duration `name:"nats-wait" default:"5s" env:"DGWORKER_NATS_WAIT" help:"How long to wait at start for a NATS that can't be reached."`
	DataDir      string        `type:"path" placeholder:"FOLDER" env:"DGWORKER_DATA_DIR" help:"Data of the embedded NATS (${default_data})."`
	Listen       string        `default:"127.0.0.1:4222" env:"DGWORKER_LISTEN" help:"Where the embedded NATS listens."`
	Sync         string        `default:"always" placeholder:"always|INTERVAL" env:"DGWORKER_SYNC" help:"When the embedded NATS syncs to disk. A power cut loses what an interval had not synced."`
	Replicas     int           `default:"1" env:"DGWORKER_REPLICAS" help:"Replicas of streams that are created: 1, 3 or 5."`
	Storage      string        `default:"file" enum:"file,memory" env:"DGWORKER_STORAGE" help:"Where streams that are created live: file, or memory, which loses them when NATS restarts."`
	Retain       time.Duration `default:"168h" env:"DGWORKER_RETAIN" help:"How long journals, outcomes and delivered actions are kept."`
	AckWait      time.Duration `default:"10s" env:"DGWORKER_ACK_WAIT" help:"After how long a silent worker's prompts go to another."`
	DrainTimeout time.Duration `default:"30s" env:"DGWORKER_DRAIN_TIMEOUT" help:"How long SIGTERM lets conversations finish."`
	AskTimeout   time.Duration `default:"5m" env:"DGWORKER_ASK_TIMEOUT" help:"How long a request on <prefix>.ask.<bot> waits for its outcome."`
	UnknownGrace time.Duration `default:"10s" env:"DGWORKER_UNKNOWN_GRACE" help:"How long a prompt waits for a worker that knows its bot before it is rejected."`
	MaxHops      int           `default:"8" env:"DGWORKER_MAX_HOPS" help:"How many triggers in a row may lead to a prompt: a loop is cut there."`
	ReplyTo      []string      `name:"reply-to-prefix" placeholder:"SUBJECT" env:"DGWORKER_REPLY_TO_PREFIX" help:"Subjects, besides inboxes, that prompts may have as reply_to."`
	Log          logFlags      `embed:""`
}

// Run runs a worker until SIGTERM or SIGINT, drains, and ends. A second signal ends it at once. SIGHUP reloads the rules.
func (c runCommand) Run(e *env) error {
	log, err := c.Log.logger()
	if err != nil {
		return err
	}
	config, err := c.config(log)
	if err != nil {
		return err
	}
	a, err := app.New(config)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if ended, err := start(a, signals); ended || err != nil {
		return err
	}
	waitForEnd(a, signals)
	ended := make(chan struct{})
	defer close(ended)
	go endAtOnce(signals, ended, log)
	return a.Stop(context.Background())
}

// start starts the worker, which may wait for NATS. A signal to end ends that, too.
func start(a *app.App, signals <-chan os.Signal) (ended bool, err error) {
	ctx, cancel := context.WithCancel(context.Background()) // what Start opens may keep it, so it lives as long as the process
	started, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGHUP {
					cancel()
					return
				}
			case <-started:
				return
			}
		}
	}()
	err = a.Start(ctx)
	close(started)
	<-watched
	if ctx.Err() != nil {
		return true, a.Stop(context.Background())
	}
	return false, err
}

func waitForEnd(a *app.App, signals <-chan os.Signal) {
	for s := range signals {
		if s != syscall.SIGHUP {
			return
		}
		_ = a.Reload(context.Background()) // it logs its mistakes and keeps the rules in use
	}
}

// endAtOnce ends the process at the second signal. Nothing is lost: what it held comes to another worker.
func endAtOnce(signals <-chan os.Signal, ended <-chan struct{}, log *zap.Logger) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				continue
			}
			log.Warn("second signal: ending at once")
			os.Exit(0)
		case <-ended:
			return
		}
	}
}

func (c runCommand) config(log *zap.Logger) (app.Config, error) {
	sync, err := parseSync(c.Sync)
	if err != nil {
		return app.Config{}, err
	}
	return app.Config{
		Rules: c.RulesPath, NATS: c.NATS.settings(), NATSWait: c.NATSWait, Prefix: c.NATS.Prefix,
		Embed:       broker.Embed{Dir: c.DataDir, Listen: c.Listen, Sync: sync},
		Concurrency: c.Concurrency, Admin: c.Admin, AdminToken: c.AdminToken, Replicas: c.Replicas, Memory: c.Storage == "memory", Retain: c.Retain,
		AckWait: c.AckWait, DrainTimeout: c.DrainTimeout, Grace: c.UnknownGrace, AskTimeout: c.AskTimeout, ReplyTo: c.ReplyTo, MaxHops: c.MaxHops,
		Version: programVersion(), Log: log,
	}, nil
}

func parseSync(s string) (time.Duration, error) {
	if s == "always" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--sync %s: say always, or an interval such as 100ms", s)
	}
	return d, nil
}
