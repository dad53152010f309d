package dgbotsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const maxIncoming = 1 << 20 // bytes of one message

// ServeHTTP answers handshakes on /ws and on every path that ends in /ws.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		http.Error(w, "simulator is closed", http.StatusServiceUnavailable)
		return
	}
	defer s.work.Done()
	key, visitor := r.URL.Query().Get("key"), r.URL.Query().Get("visitor_id")
	if status, problem := s.judge(w, r, key, visitor); status != 0 {
		s.count(func(st *Stats) { st.Refused++ })
		http.Error(w, problem, status)
		return
	}
	who := sessionID{key, visitor}
	id := s.reserve(who)
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil { // the client has its answer
		s.release(who, id)
		return
	}
	ws.SetReadLimit(maxIncoming)
	c := newConn(id, ws)
	ss := s.attach(who, c)
	defer s.detach(ss, c)
	s.read(ss, c)
}

// judge returns the status that refuses a handshake, 0 for none.
func (s *Server) judge(w http.ResponseWriter, r *http.Request, key, visitor string) (status int, problem string) {
	switch {
	case !strings.HasSuffix(r.URL.Path, "/ws"):
		return http.StatusNotFound, "no such path: connect to /ws"
	case key == "":
		return http.StatusBadRequest, "query parameter key is missing"
	case visitor == "":
		return http.StatusBadRequest, "query parameter visitor_id is missing"
	case s.keys != nil && !slices.Contains(s.keys, key):
		return s.unknownKey, "no chatbot has this key"
	}
	if f := s.script.refusal(key, visitor); f != nil {
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		return f.Status, "refused by the script"
	}
	if s.faults.refuses(key, visitor, s.attempt(sessionID{key, visitor})) {
		return http.StatusServiceUnavailable, "refused by chance"
	}
	return 0, ""
}

// read takes frames until the connection ends. What isn't documented is counted and ignored.
func (s *Server) read(ss *session, c *conn) {
	for {
		if s.idle > 0 {
			_ = c.ws.SetReadDeadline(time.Now().Add(s.idle)) // fails where reading will
		}
		kind, frame, err := c.ws.ReadMessage()
		if err != nil {
			c.close(websocket.CloseGoingAway, "") // an idle client learns that it was; one that left is past it
			return
		}
		var in incoming
		bad := kind != websocket.TextMessage || json.Unmarshal(frame, &in) != nil
		switch {
		case bad || in.Type == "message" && in.Content == nil:
			s.count(func(st *Stats) { st.BadFrames++ })
		case in.Type == "message":
			s.message(ss, c, *in.Content)
		case in.Type == "ping":
			s.count(func(st *Stats) { st.Pings++ })
		default:
			s.count(func(st *Stats) { st.Unknown++ })
		}
	}
}
