package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// bar shows progress on a terminal, and nothing anywhere else.
type bar struct {
	w     io.Writer // nil where nothing is shown
	total amount
	begun time.Time
	last  time.Time
}

func newBar(w io.Writer, total amount) *bar {
	b := &bar{total: total, begun: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.w = w
	}
	return b
}

const barWidth = 30

// show draws the bar, ten times a second at most.
func (b *bar) show(outcomes int, bytes int64) {
	now := time.Now()
	if b.w == nil || now.Sub(b.last) < time.Second/10 {
		return
	}
	b.last = now
	fmt.Fprintf(b.w, "\r%s%d outcomes, %s\x1b[K", b.drawn(outcomes, bytes), outcomes, now.Sub(b.begun).Truncate(time.Second))
}

// drawn is the bar itself, "" where the end isn't known.
func (b *bar) drawn(outcomes int, bytes int64) string {
	part := 0.0
	switch {
	case b.total.outcomes > 0:
		part = float64(outcomes) / float64(b.total.outcomes)
	case b.total.bytes > 0:
		part = float64(bytes) / float64(b.total.bytes)
	default:
		return ""
	}
	part = min(part, 1)
	full := int(part * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%  ", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), part*100)
}

// clear removes the bar.
func (b *bar) clear() {
	if b.w != nil && !b.last.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}
