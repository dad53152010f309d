package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Claims is the memory that `once: visitor` and `cooldown` share between all workers: a KV bucket whose keys live as
// long as the claim. The value is the id of the action that made the claim.
type Claims struct {
	kv  jetstream.KeyValue
	try time.Duration // how long one try may take
}

func openClaims(ctx context.Context, c *Config) (*Claims, error) {
	kv, err := openBucket(ctx, c, jetstream.KeyValueConfig{
		Bucket: c.names().Stream("CLAIMS"), Description: "dgworker: claims of once: visitor and cooldown",
		Storage: c.Storage, Replicas: c.Replicas, LimitMarkerTTL: time.Minute, // what lets a key have a time to live
	})
	return &Claims{kv, c.Publish}, err
}

// claimTries is for how many times the longest try a claim is asked for again. That is longer than a prompt is held without NATS;
// but a bucket that nobody answers for must not hold up a conversation for ever.
const claimTries = 6

// Claim takes key for holder, for ttl, which NATS keeps in whole seconds; 0 is for ever. It asks again where there is no answer,
// and where a claim is neither free nor to be seen: a rival's write under way, or a replica that lags.
func (c *Claims) Claim(ctx context.Context, key, holder string, ttl time.Duration) (granted bool, until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTries*c.try)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		granted, until, err = c.claim(ctx, key, holder, ttl)
		if err == nil || refusedForGood(err) || wait(ctx, pause) != nil {
			return granted, until, err
		}
	}
}

// refusedForGood tells a request that can't be answered otherwise from one that is worth another try.
func refusedForGood(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code < 500 || errors.Is(err, jetstream.ErrLimitMarkerTTLNotSupported) || errors.Is(err, nats.ErrConnectionClosed)
}

func (c *Claims) claim(ctx context.Context, key, holder string, ttl time.Duration) (granted bool, until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.try)
	defer cancel()
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
