package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"dgworker/rules"
	"dgworker/worker/app"
	"dgworker/worker/broker"
	"dgworker/worker/dgbot/dgbotsim"
)

type demoCommand struct {
	Exit bool `help:"End after the table, with 0 only if every expected thing happened."`
}

// demoWait bounds how long the demo waits for its prompts.
const demoWait = 30 * time.Second

// Run plays every kind of prompt through the real worker, with a simulated DGbot and a webhook receiver of its own.
func (c demoCommand) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "dgworker-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{screen: newScreen(e.stdout)}
	defer d.close()
	if err := d.open(ctx, dir); err != nil {
		return err
	}
	d.screen.intro(d.app.NATSURL(), d.app.AdminAddr())
	if err := d.play(ctx); err != nil {
		return err
	}
	passed := d.screen.table(d.scenes)
	switch {
	case !c.Exit:
		d.screen.invite(d.app.NATSURL())
		<-ctx.Done()
		return nil
	case !passed:
		return errNo
	}
	return nil
}

// demo is the demo's cast: the worker, the bot, the receiver, and the scenes that they play.
type demo struct {
	screen   *screen
	sim      *dgbotsim.Server
	receiver *receiver
	app      *app.App
	stage    *stage
	scenes   []*scene
}

func (d *demo) open(ctx context.Context, dir string) (err error) {
	script := dgbotsim.Default()
	script.Refuse = append(script.Refuse, dgbotsim.Refusal{Visitor: "^refused-", Status: 403})
	d.sim = dgbotsim.New(script, dgbotsim.OnMessage(func(m dgbotsim.Message) { d.screen.said(m.Content) }))
	if err := d.sim.Start("127.0.0.1:0"); err != nil {
		return err
	}
	file := filepath.Join(dir, "rules.example.yaml")
	if err := os.WriteFile(file, rules.Example().Text, 0o600); err != nil {
		return fmt.Errorf("write the demo's rules: %w", err)
	}
	d.scenes = demoScenes()
	if d.receiver, err = startReceiver(d.screen); err != nil {
		return err
	}
	d.app, err = app.New(app.Config{
		Rules: file, Adapt: d.adapt, Embed: broker.Embed{Dir: dir, Listen: demoListen(), Sync: time.Second}, Admin: "127.0.0.1:0",
		DrainTimeout: time.Second, Version: programVersion(), Log: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	return d.app.Start(ctx)
}

// adapt takes the bots and webhooks of the rules to the demo's own servers. The rules stay as they are in the file.
func (d *demo) adapt(set *rules.Set) {
	for _, b := range set.Bots() {
		b.URL = d.sim.URL()
	}
	for _, w := range set.Webhooks() {
		d.receiver.trust(w.Secrets)
		w.URL = d.receiver.url(w.Name)
		w.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
}

// play sends every prompt and waits until each has its outcome and what it fired has arrived.
func (d *demo) play(ctx context.Context) (err error) {
	if d.stage, err = openStage(d.app.NATSURL(), d.screen, d.scenes); err != nil {
		return err
	}
	d.receiver.arrived = d.stage.delivered
	if err := d.stage.send(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	select {
	case <-d.stage.complete:
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return errors.New("demo was interrupted")
		}
	}
	return nil
}

func (d *demo) close() {
	if d.stage != nil {
		d.stage.close()
	}
	if d.app != nil {
		_ = d.app.Stop(context.Background())
	}
	if d.receiver != nil {
		d.receiver.close()
	}
	if d.sim != nil {
		_ = d.sim.Close()
	}
}

// demoListen is NATS's usual port if it is free, so that the nats CLI needs no address, and any other if not.
func demoListen() string {
	const usual = "127.0.0.1:4222"
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return usual
}
