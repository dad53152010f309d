package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dgworker/worker/dgbot/dgbotsim"
)

type simCommand struct {
	Addr   string  `default:"127.0.0.1:8190" help:"Where to listen."`
	Script string  `type:"path" help:"YAML script; without one, a believable back office."`
	Speed  float64 `default:"1" help:"Divides all delays of the script."`
	Print  bool    `help:"Print the default script, as a start for one's own, and end."`
}

// Run serves until it is told to stop.
func (c simCommand) Run(e *env) error {
	if c.Print {
		_, err := e.stdout.Write(dgbotsim.DefaultYAML())
		return err
	}
	script := dgbotsim.Default()
	if c.Script != "" {
		text, err := os.ReadFile(c.Script)
		if err != nil {
			return fmt.Errorf("read script: %w", err)
		}
		if script, err = dgbotsim.ParseScript(text); err != nil {
			return fmt.Errorf("read script %s: %w", c.Script, err)
		}
	}
	sim := dgbotsim.New(script, dgbotsim.WithSpeed(c.Speed), dgbotsim.OnMessage(func(m dgbotsim.Message) {
		fmt.Fprintf(e.stdout, "%s %s: %s\n", m.At.Format("15:04:05.000"), m.Visitor, m.Content)
	}))
	if err := sim.Start(c.Addr); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "DGbot simulator on %s?key=…&visitor_id=…\n", sim.URL())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return sim.Close()
}
