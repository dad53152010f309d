package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dgworker/rules"
)

// RuleVersion is a rule set as it is kept under its hash: the files unexpanded, so that no secret is in it.
type RuleVersion struct {
	Version string       `json:"version"`
	First   rules.Time   `json:"first_use"`
	Last    rules.Time   `json:"last_use"`
	Files   []rules.File `json:"files"`
}

// KeepRules keeps set under its version, so that explain can use the rules that an outcome names.
func (q *Queue) KeepRules(ctx context.Context, set *rules.Set) error {
	kv, err := openVersions(ctx, &q.Config)
	if err != nil {
		return err
	}
	now := rules.Time{Time: time.Now()}
	v := RuleVersion{Version: set.Version(), First: now, Last: now, Files: set.Files()}
	if there, err := kv.Get(ctx, v.Version); err == nil {
		var old RuleVersion
		if json.Unmarshal(there.Value(), &old) == nil {
			v.First = old.First
		}
	}
	data, err := json.Marshal(v)
	if err == nil {
		_, err = kv.Put(ctx, v.Version, data)
	}
	if err != nil {
		return fmt.Errorf("keep rules version %s: %w", v.Version, err)
	}
	return nil
}

func openVersions(ctx context.Context, c *Config) (jetstream.KeyValue, error) {
	return openBucket(ctx, c, jetstream.KeyValueConfig{
		Bucket: c.names().Stream("RULES"), Description: "dgworker: rule sets by hash", Storage: c.Storage, Replicas: c.Replicas,
	})
}

// openBucket opens a bucket, and creates it if it is missing.
func openBucket(ctx context.Context, c *Config, want jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := c.JetStream.KeyValue(ctx, want.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = c.JetStream.CreateKeyValue(ctx, want)
		if errors.Is(err, jetstream.ErrBucketExists) { // another worker was faster
			kv, err = c.JetStream.KeyValue(ctx, want.Bucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", want.Bucket, err)
	}
	return kv, nil
}
