package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// File is the text of one rules file, as it was read. Name is what messages call it.
type File struct {
	Name string
	Text []byte
}

// Set is everything that the files of one version say, compiled. It is immutable and safe for concurrent use.
type Set struct {
	version  string
	files    []File
	bots     map[string]*Bot
	webhooks map[string]*Webhook
	triggers []*Trigger
	rules    []*Rule
	index    *index
}

// Version names the set: 16 hex digits, a hash of the files' text before the environment was put in. File names don't
// count, so the same text read from another place is the same version.
func (s *Set) Version() string { return s.version }

// Files returns the files as they were read, nothing expanded, so that no secret of the environment is in them.
func (s *Set) Files() []File { return slices.Clone(s.files) }

// Bot returns the bot of that name.
func (s *Set) Bot(name string) (*Bot, bool) {
	b, ok := s.bots[name]
	return b, ok
}

// Bots returns all bots, sorted by name.
func (s *Set) Bots() []*Bot { return byName(s.bots) }

// Webhook returns the endpoint of that name.
func (s *Set) Webhook(name string) (*Webhook, bool) {
	w, ok := s.webhooks[name]
	return w, ok
}

// Webhooks returns all endpoints, sorted by name.
func (s *Set) Webhooks() []*Webhook { return byName(s.webhooks) }

// Triggers returns all triggers in the order of the files.
func (s *Set) Triggers() []*Trigger { return slices.Clone(s.triggers) }

// Rules returns all rules in the order of the files, which is the order in which they are evaluated.
func (s *Set) Rules() []*Rule { return slices.Clone(s.rules) }

// Place returns where among the rules the one of that name stands, from 0; -1 if the set doesn't have it.
func (s *Set) Place(rule string) int {
	return slices.IndexFunc(s.rules, func(r *Rule) bool { return r.Name == rule })
}

// Summary says in one line what was read.
func (s *Set) Summary() string {
	names := make([]string, len(s.files))
	for i, f := range s.files {
		names[i] = f.Name
	}
	where := strings.Join(names, ", ")
	if len(names) > 3 {
		where = count(len(names), "file")
	}
	return fmt.Sprintf("%s: %s, %s, %s, %s: all right", where,
		count(len(s.rules), "rule"), count(len(s.bots), "bot"), count(len(s.webhooks), "webhook"), count(len(s.triggers), "trigger"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func byName[T any](m map[string]*T) []*T {
	all := make([]*T, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

func versionOf(files []File) string {
	h := sha256.New()
	for _, f := range files {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f.Text)))
		h.Write(n[:])
		h.Write(f.Text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
