// Package admin is the port for operators: health, metrics and profiles.
//
//	/livez        200 for as long as the process answers
//	/readyz       200 when every check passes, else 503; the body lists each check and what it says
//	/metrics      Prometheus text
//	/debug/pprof  profiles, to loopback only
//
// It asks what it needs through Check, and knows nothing of prompts.
package admin
