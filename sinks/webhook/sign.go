package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, of the decoded secret
	maxSecret    = 64
	makeOne      = `make one with: echo "whsec_$(openssl rand -base64 32)"`
)

// signer has one pool of HMACs for each key of an endpoint: to key an HMAC anew costs as much as to sign 128 bytes.
type signer []*sync.Pool // of *signature

// signature is the memory that one signature takes.
type signature struct {
	mac  hash.Hash
	head []byte
	sum  []byte
}

// newSigner decodes secrets. Its errors say which one is wrong by position, never by content.
func newSigner(secrets []string) (signer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("secret: there is none, and every request is signed; " + makeOne)
	}
	var keys signer
	var errs []error
	for i, secret := range secrets {
		key, err := decodeSecret(secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("secret %d: %w", i+1, err))
		}
		keys = append(keys, &sync.Pool{New: func() any { return &signature{mac: hmac.New(sha256.New, key)} }})
	}
	return keys, errors.Join(errs...)
}

func decodeSecret(secret string) ([]byte, error) {
	encoded, found := strings.CutPrefix(secret, secretPrefix)
	if !found {
		return nil, errors.New(`it must begin with "whsec_"; ` + makeOne)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, errors.New("what follows whsec_ is not base64")
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("it has %d bytes; it must have %d to %d", len(key), minSecret, maxSecret)
	}
	return key, nil
}

// sign is the value of webhook-signature (source: the Standard Webhooks specification, "Signature scheme"): for each
// key "v1," and the base64 of HMAC-SHA256 over id, timestamp and body, joined by dots; separated by spaces.
func (s signer) sign(id, timestamp string, body []byte) string {
	const encodedLen = 44 // of 32 bytes
	out := make([]byte, 0, len(s)*(len(" v1,")+encodedLen))
	for i, pool := range s {
		if i > 0 {
			out = append(out, ' ')
		}
		w := pool.Get().(*signature)
		out = base64.StdEncoding.AppendEncode(append(out, "v1,"...), w.of(id, timestamp, body))
		pool.Put(w)
	}
	return string(out)
}

func (w *signature) of(id, timestamp string, body []byte) []byte {
	w.head = append(append(append(append(w.head[:0], id...), '.'), timestamp...), '.')
	w.mac.Reset()
	w.mac.Write(w.head)
	w.mac.Write(body)
	w.sum = w.mac.Sum(w.sum[:0])
	return w.sum
}
