package rules

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// ActionID is the id of the action at index of a rule, decided for the occurrence-th event of a prompt's conversation.
// The same four give the same id for ever, so that what is decided again after a crash is enqueued under the id it had.
// It matches [A-Za-z0-9_-]{1,64}: "act_" and 32 hex digits.
func ActionID(prompt, rule string, index, occurrence int) string {
	h := sha256.New()
	for _, s := range []string{prompt, rule} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(index))
	binary.BigEndian.PutUint64(n[8:], uint64(occurrence))
	h.Write(n[:])
	return "act_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// EncodeToken makes one token of a NATS subject (or a part of a KV key) out of any string. A name that matches
// [A-Za-z0-9_-]{1,64} stays as it is. Anything else becomes "=" and its base64url without padding, or, where that would
// be longer than 128 characters, "==" and the base64url of its SHA-256. No name has a "=", and base64url has none
// either, so no two strings share a token (short of a collision of SHA-256). At most 128 characters, all of
// [A-Za-z0-9_=-]; the short form can be decoded.
func EncodeToken(s string) string {
	if isName(s) {
		return s
	}
	if len(s) <= 95 {
		return "=" + base64.RawURLEncoding.EncodeToString([]byte(s))
	}
	sum := sha256.Sum256([]byte(s))
	return "==" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// isName reports whether s is a name as bots, endpoints, rules and triggers have it: [A-Za-z0-9_-]{1,64}.
func isName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
