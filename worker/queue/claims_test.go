package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one, two := b.open().Claims, b.open().Claims
	claim := func(c *Claims, key, holder string, ttl time.Duration) (bool, time.Time) {
		t.Helper()
		granted, until, err := c.Claim(b.ctx, key, holder, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return granted, until
	}
	if granted, _ := claim(one, "rule\x00visitor é.*>", "act-1", 0); !granted {
		t.Error("nobody held it")
	}
	if granted, until := claim(two, "rule\x00visitor é.*>", "act-2", 0); granted || !until.IsZero() {
		t.Errorf("held for ever: granted %v until %s", granted, until)
	}
	if granted, _ := claim(two, "rule\x00visitor é.*>", "act-1", 0); !granted {
		t.Error("the same action decides again after a crash: it holds the claim already")
	}
	if granted, _ := claim(two, "rule\x00visitor é", "act-2", 0); !granted {
		t.Error("another key")
	}
	if granted, _ := claim(one, "cool", "act-1", time.Hour); !granted {
		t.Error("nobody held it")
	}
	granted, until := claim(two, "cool", "act-2", time.Hour)
	if left := time.Until(until); granted || left < 59*time.Minute || left > time.Hour {
		t.Errorf("granted %v, for another %s", granted, left)
	}
}

// A claim ends with its time to live, whatever was asked meanwhile.
func TestClaimsEnd(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	c := b.open().Claims
	for _, ttl := range []time.Duration{time.Millisecond, 1500 * time.Millisecond} {
		key := ttl.String()
		began := time.Now()
		if granted, _, err := c.Claim(b.ctx, key, "act-1", ttl); !granted || err != nil {
			t.Fatalf("first: %v, %v", granted, err)
		}
		for n := 2; ; n++ {
			granted, until, err := c.Claim(b.ctx, key, fmt.Sprintf("act-%d", n), ttl)
			if err != nil {
				t.Fatal(err)
			}
			if granted {
				break
			}
			if until.IsZero() || time.Until(until) > 2*time.Second {
				t.Fatalf("held until %s", until)
			}
			if err := wait(b.ctx, 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if held := time.Since(began); held < 900*time.Millisecond || held > 8*time.Second {
			t.Errorf("a claim of %s was held for %s", ttl, held)
		}
	}
}

func TestAThousandClaimsAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	claims := []*Claims{b.openPatient().Claims, b.openPatient().Claims}
	var granted atomic.Int32
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			ok, _, err := claims[i%2].Claim(b.ctx, "key", fmt.Sprintf("act-%d", i), time.Minute)
			if err != nil {
				t.Errorf("claim: %v", err)
			}
			if ok {
				granted.Add(1)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 1 {
		t.Errorf("%d of 1,000 were granted", granted.Load())
	}
}

// NATS may be away for a moment, or a rival's claim be under way that comes to nothing: that is no reason for a rule to fail. What
// will be refused again is told at once.
func TestClaimsAreAskedForAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, tc := range []struct {
		name string
		errs []error
		want int // tries
	}{
		{"no answer", []error{nats.ErrTimeout, context.DeadlineExceeded, jetstream.ErrNoStreamResponse}, 4},
		{"no leader", []error{&jetstream.APIError{Code: 503, ErrorCode: 10008}}, 2},
		{"a rival under way", []error{&jetstream.APIError{Code: 400, ErrorCode: codeWrongUnderWay}}, 2},
		{"not allowed", []error{&jetstream.APIError{Code: 400, ErrorCode: 10166}}, 1},
	} {
		kv := &failingKV{KeyValue: b.open().Claims.kv, errs: tc.errs}
		granted, _, err := (&Claims{kv, time.Second}).Claim(b.ctx, tc.name, "act-1", time.Hour)
		if refused := tc.want == 1; granted == refused || (err != nil) != refused || kv.tries != tc.want {
			t.Errorf("%s: granted %t, %v after %d tries", tc.name, granted, err, kv.tries)
		}
	}
	began := time.Now()
	kv := &failingKV{KeyValue: b.open().Claims.kv, errs: slices.Repeat([]error{nats.ErrTimeout}, 1000)}
	if granted, _, err := (&Claims{kv, 50 * time.Millisecond}).Claim(b.ctx, "never", "act-1", 0); granted || !errors.Is(err, nats.ErrTimeout) || time.Since(began) > 5*time.Second {
		t.Errorf("nobody ever answers: granted %t, %v after %s", granted, err, time.Since(began))
	}
}

// failingKV fails so many times before it does what it is asked for.
type failingKV struct {
	jetstream.KeyValue
	errs  []error
	tries int
}

func (f *failingKV) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	f.tries++
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return 0, err
	}
	return f.KeyValue.Create(ctx, key, value, opts...)
}
