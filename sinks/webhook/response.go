package webhook

import (
	"io"
	"net/http"
)

// capture keeps the start of the response body and reads on a little, so that the connection can be used again. The
// status has been seen, so nothing that goes wrong here changes the verdict: a body that drips or never ends costs
// BodyTimeout and its connection.
func (s *Sink) capture(l *limit, resp *http.Response) string {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		return ""
	}
	l.phase(&s.limits.body)
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	n, err := io.ReadFull(resp.Body, *buf)
	if err == nil && resp.ContentLength <= int64(s.cfg.DrainBytes) {
		io.CopyN(io.Discard, resp.Body, int64(s.cfg.DrainBytes-n)+1) // one more, to see the end
	}
	return string((*buf)[:n])
}
