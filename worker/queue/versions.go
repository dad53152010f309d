package queue

import (
	"bytes"
	"compress/gzip"
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
	if old, err := readVersion(ctx, kv, v.Version); err == nil {
		v.First = old.First
	}
	data, err := v.encode(int(q.Conn.MaxPayload()) - headerRoom)
	if err == nil {
		_, err = kv.Put(ctx, v.Version, data)
	}
	if err != nil {
		return fmt.Errorf("keep rules version %s: %w", v.Version, err)
	}
	return nil
}

// encode is v as JSON, compressed where NATS would not take it otherwise: rules files repeat themselves.
func (v RuleVersion) encode(room int) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(data) <= room {
		return data, err
	}
	var small bytes.Buffer
	w := gzip.NewWriter(&small)
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	if small.Len() > room {
		return nil, fmt.Errorf("the rules files have %d bytes, %d compressed, and NATS takes %d (max_payload)", len(data), small.Len(), room)
	}
	return small.Bytes(), nil
}

func decodeVersion(data []byte) (v RuleVersion, err error) {
	if bytes.HasPrefix(data, []byte{'{'}) {
		err = json.Unmarshal(data, &v)
		return v, err
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		err = json.NewDecoder(r).Decode(&v)
	}
	return v, err
}

func readVersion(ctx context.Context, kv jetstream.KeyValue, version string) (v RuleVersion, err error) {
	entry, err := kv.Get(ctx, version)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return v, fmt.Errorf("rules version %s: %w", version, ErrNotFound)
	}
	if err == nil {
		v, err = decodeVersion(entry.Value())
	}
	if err != nil {
		return v, fmt.Errorf("read rules version %s: %w", version, err)
	}
	return v, nil
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
