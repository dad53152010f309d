package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Claims is the memory that `once: visitor` and `cooldown` share between all workers: a KV bucket whose keys live as
// long as the claim. The value is the id of the action that made the claim.
type Claims struct{ kv jetstream.KeyValue }

func openClaims(ctx context.Context, c *Config) (*Claims, error) {
	kv, err := openBucket(ctx, c, jetstream.KeyValueConfig{
		Bucket: c.names().Stream("CLAIMS"), Description: "dgworker: claims of once: visitor and cooldown",
		Storage: c.Storage, Replicas: c.Replicas, LimitMarkerTTL: time.Minute, // what lets a key have a time to live
	})
	return &Claims{kv}, err
}

// claimTries bounds how often a claim is looked at that is neither free nor to be seen: a rival's write under way, or a
// replica that lags.
const claimTries = 5

// Claim takes key for holder, for ttl, which NATS keeps in whole seconds; 0 is for ever.
func (c *Claims) Claim(ctx context.Context, key, holder string, ttl time.Duration) (granted bool, until time.Time, err error) {
	for range claimTries {
		granted, until, err = c.claim(ctx, key, holder, ttl)
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return granted, until, err
		}
		if err := wait(ctx, firstPause); err != nil {
			return false, time.Time{}, err
		}
	}
	return false, time.Time{}, err
}

func (c *Claims) claim(ctx context.Context, key, holder string, ttl time.Duration) (granted bool, until time.Time, err error) {
	name := claimKey(key)
	var opts []jetstream.KVCreateOpt
	if ttl > 0 {
		opts = append(opts, jetstream.KeyTTL(max(ttl, time.Second)))
	}
	_, err = c.kv.Create(ctx, name, []byte(holder), opts...)
	if err == nil {
		return true, time.Time{}, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) && !isRefused(err) {
		return false, time.Time{}, fmt.Errorf("claim %s: %w", key, err)
	}
	there, err := c.kv.Get(ctx, name)
	if err != nil {
		return false, time.Time{}, fmt.Errorf("read claim %s: %w", key, err)
	}
	if ttl > 0 {
		until = there.Created().Add(max(ttl, time.Second))
	}
	return string(there.Value()) == holder, until, nil
}

// claimKey makes any string a key: a visitor id may hold what a subject can't.
func claimKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}
