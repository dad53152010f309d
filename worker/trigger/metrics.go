package trigger

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What became of an event.
const (
	prompted  = "prompt"    // its prompt is stored
	duplicate = "duplicate" // its prompt was stored before
	unmet     = "false"     // `when` is false
	failed    = "failed"    // it is a dead letter: the trigger can't make a prompt of it
	loop      = "loop"      // it is a dead letter: too many triggers led to it
)

func newMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	return promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "dgworker_trigger_events_total", Help: "Events that triggers took, by what became of them.",
	}, []string{"trigger", "result"})
}
