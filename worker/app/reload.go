package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"dgworker/rules"
)

type reloadMetrics struct {
	ok      prometheus.Gauge
	reloads *prometheus.CounterVec
}

func newReloadMetrics(reg prometheus.Registerer) *reloadMetrics {
	f := promauto.With(reg)
	m := &reloadMetrics{
		ok: f.NewGauge(prometheus.GaugeOpts{
			Name: "dgworker_rules_last_reload_successful", Help: "1 while the rules in use are those on disk, 0 while those have mistakes.",
		}),
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_rules_reloads_total", Help: "Reloads of the rules, by how they went.",
		}, []string{"result"}),
	}
	m.ok.Set(1)
	return m
}

// Reload reads the rules anew and uses them for every conversation that begins from now on. Rules with any mistake change
// nothing: those in use stay, and the mistakes are logged and shown by /readyz until they are mended.
func (a *App) Reload(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	set, err := a.load()
	if err == nil && set.Version() == a.worker.Rules().Version() && a.broken == nil {
		return nil
	}
	if err == nil {
		err = a.swap(ctx, set)
	}
	a.broken = err
	if err != nil {
		a.reloads.ok.Set(0)
		a.reloads.reloads.WithLabelValues("failed").Inc()
		a.Log.Error("rules have mistakes: those in use stay", zap.String("in_use", a.worker.Rules().Version()), mistakes(err))
		return err
	}
	a.reloads.ok.Set(1)
	a.reloads.reloads.WithLabelValues("ok").Inc()
	a.Log.Info("rules reloaded", zap.String("rules", set.Version()), zap.Int("rule_count", len(set.Rules())))
	return nil
}

func (a *App) swap(ctx context.Context, set *rules.Set) error {
	if err := fits(set, a.conn.MaxPayload()); err != nil {
		return err
	}
	if err := a.use(ctx, set); err != nil {
		return err
	}
	a.intake.SetBots(takenBots(set))
	return a.triggers.Use(ctx, set)
}

// mistakes logs each mistake with its position, and without the line of the file, which may hold a secret.
func mistakes(err error) zap.Field {
	var problems rules.Problems
	if !errors.As(err, &problems) {
		return zap.Error(err)
	}
	list := make([]string, 0, len(problems))
	for _, p := range problems {
		list = append(list, fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message))
	}
	return zap.Strings("mistakes", list)
}

func (a *App) rulesRemark() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	remark := "version " + a.worker.Rules().Version()
	if a.broken != nil {
		remark += "; the files on disk are not in use: " + firstLine(a.broken.Error())
	}
	return remark
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}
