package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"dgworker/rules"
)

// Metrics counts what the worker does. Names begin with dgworker_.
type Metrics struct {
	prompts       *prometheus.CounterVec // bot, status
	duplicates    *prometheus.CounterVec // bot
	conversations *prometheus.GaugeVec   // bot
	seconds       *prometheus.HistogramVec
	events        *prometheus.CounterVec // type
	decisions     *prometheus.CounterVec // rule, decision
	frames        *prometheus.CounterVec // bot, kind
	breaker       *prometheus.GaugeVec   // bot
	fenced        prometheus.Counter
}

// NewMetrics registers the worker's metrics; a nil reg keeps them to itself.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		prompts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_prompts_total", Help: "Prompts that ended, by the status of their outcome.",
		}, []string{"bot", "status"}),
		duplicates: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_duplicate_prompts_total", Help: "Prompts that had an outcome already and were not run again.",
		}, []string{"bot"}),
		conversations: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dgworker_conversations", Help: "Conversations that are open now.",
		}, []string{"bot"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dgworker_conversation_seconds", Help: "From a prompt's first message to its outcome.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2.5, 10),
		}, []string{"bot"}),
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_events_total", Help: "Events that were put to the rules.",
		}, []string{"type"}),
		decisions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_rule_decisions_total", Help: "What rules did with events; the sum is the number of evaluations.",
		}, []string{"rule", "decision"}),
		frames: f.NewCounterVec(prometheus.CounterOpts{
			Name: "dgworker_skipped_frames_total", Help: "Frames of bots that could not be read and were passed over.",
		}, []string{"bot", "kind"}),
		breaker: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "dgworker_bot_breaker_open", Help: "1 while a bot is down and no prompt is taken for it.",
		}, []string{"bot"}),
		fenced: f.NewCounter(prometheus.CounterOpts{
			Name: "dgworker_overtaken_total", Help: "Prompts that another worker had taken over while this one was paused.",
		}),
	}
}

func (m *Metrics) began(bot string)     { m.conversations.WithLabelValues(bot).Inc() }
func (m *Metrics) left(bot string)      { m.conversations.WithLabelValues(bot).Dec() }
func (m *Metrics) duplicate(bot string) { m.duplicates.WithLabelValues(bot).Inc() }

// skipped counts what a socket has passed over.
func (m *Metrics) skipped(bot string, badJSON, binary int) {
	for kind, n := range map[string]int{"bad_json": badJSON, "binary": binary} {
		if n > 0 {
			m.frames.WithLabelValues(bot, kind).Add(float64(n))
		}
	}
}

func (m *Metrics) ended(bot string, o *Outcome) {
	m.prompts.WithLabelValues(bot, string(o.Status)).Inc()
	m.seconds.WithLabelValues(bot).Observe(o.EndedAt.Sub(o.StartedAt.Time).Seconds())
}

func (m *Metrics) decided(t rules.EventType, ds []rules.Decision) {
	m.events.WithLabelValues(string(t)).Inc()
	for _, d := range ds {
		m.decisions.WithLabelValues(d.Rule, string(d.Result)).Inc()
	}
}
