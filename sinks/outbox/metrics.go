package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// metrics is what the outbox counts. Where another part of the process has registered a metric of the same name (the
// dead letters have kinds), that one is used.
type metrics struct {
	registry    prometheus.Registerer
	deliveries  *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	breakerOpen *prometheus.GaugeVec
	dead        prometheus.Counter
	pending     prometheus.Collector
}

// newMetrics registers with reg, which may be nil. pending counts the waiting actions of each endpoint.
func newMetrics(reg prometheus.Registerer, pending func() map[string]float64) (*metrics, error) {
	m := &metrics{registry: reg, pending: pendingCollector{pending}}
	m.deliveries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dgworker_deliveries_total", Help: "Attempts to deliver an action, by endpoint and verdict.",
	}, []string{"endpoint", "class"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "dgworker_delivery_seconds", Help: "How long an attempt took, by endpoint.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
	}, []string{"endpoint"})
	m.breakerOpen = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dgworker_breaker_open", Help: "1 while an endpoint's breaker is open or probing.",
	}, []string{"endpoint"})
	dead := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dgworker_dead_letters_total", Help: "Dead letters written, by kind.",
	}, []string{"kind"})
	if reg != nil {
		err := errors.Join(register(reg, &m.deliveries), register(reg, &m.seconds), register(reg, &m.breakerOpen),
			register(reg, &dead), reg.Register(m.pending))
		if err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	m.dead = dead.WithLabelValues("action")
	return m, nil
}

// register registers a collector, or puts the one that is there in its place.
func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			*c = same
			return nil
		}
	}
	return err
}

// unregister takes the collector away that asks NATS; the counters stay for a later outbox of the process.
func (m *metrics) unregister() {
	if m.registry != nil {
		m.registry.Unregister(m.pending)
	}
}

// pendingCollector asks when it is scraped: the count is NATS's, and nobody else needs it.
type pendingCollector struct {
	count func() map[string]float64
}

var pendingDesc = prometheus.NewDesc("dgworker_outbox_pending", "Actions that wait for their endpoint or are under way.", []string{"endpoint"}, nil)

func (pendingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- pendingDesc }

func (c pendingCollector) Collect(ch chan<- prometheus.Metric) {
	for endpoint, n := range c.count() {
		ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, n, endpoint)
	}
}

// pending counts the actions in todo of each lane. A lane that NATS doesn't answer for is left out.
func (o *Outbox) pending() map[string]float64 {
	ctx, cancel := context.WithTimeout(o.running, 2*time.Second)
	defer cancel()
	counts := map[string]float64{}
	for _, l := range o.snapshot() {
		info, err := (*l.consumer.Load()).Info(ctx)
		if err != nil {
			l.log.Debug("pending actions can't be counted", zap.Error(err))
			continue
		}
		counts[l.name] = float64(info.NumPending) + float64(info.NumAckPending)
	}
	return counts
}

// report counts and logs an attempt: one line each, without what was sent or answered.
func (l *lane) report(rec record, took time.Duration) {
	a := rec.last()
	l.o.metrics.deliveries.WithLabelValues(l.name, string(a.Class)).Inc()
	l.o.metrics.seconds.WithLabelValues(l.name).Observe(took.Seconds())
	fields := []zap.Field{zap.String("action", rec.Delivery.ID), zap.String("rule", rec.Delivery.Rule), zap.String("prompt", rec.Delivery.Prompt),
		zap.Int("attempt", a.N), zap.String("class", string(a.Class)), zap.Int("status", a.Status), zap.Int64("ms", a.MS)}
	if a.Reason != "" {
		fields = append(fields, zap.String("reason", a.Reason))
	}
	l.log.Info("delivery", fields...)
}
