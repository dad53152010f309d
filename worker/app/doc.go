// Package app wires a whole dgworker: New, Start, Reload, Stop. It can be embedded in another program; signals, flags and
// exit codes are the business of cmd.
package app
