package webhook_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"dgworker/sinks/webhook"
)

// The vector that the Standard Webhooks libraries publish in their tests.
func TestPublishedVector(t *testing.T) {
	t.Parallel()
	got, err := webhook.Sign([]string{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Fatalf("signature %q, %v; want %q", got, err, want)
	}
}

func TestSignatureAgainstTheLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 24, 64).Draw(t, "key")
		id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		at := time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "at"), 0)
		text := "whsec_" + base64.StdEncoding.EncodeToString(key)
		oracle, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := oracle.Sign(id, at, body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := webhook.Sign([]string{text}, id, webhook.Stamp(at), body); err != nil || got != want {
			t.Fatalf("signature %q, %v; the library says %q", got, err, want)
		}
	})
}

// While a secret is rotated both sign, so that a receiver verifies with whichever it has.
func TestRotationVerifiesWithEitherKey(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	expect(t, deliver(t, newSink(t, webhook.Config{URL: r.URL, Secrets: []string{otherSecret, secret}})), "delivered")
	got := r.only(t)
	for _, held := range []string{secret, otherSecret} {
		verify(t, held, got)
	}
	if n := len(strings.Fields(got.Header.Get("webhook-signature"))); n != 2 {
		t.Errorf("%d signatures, want 2", n)
	}
	stranger, _ := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24)))
	if stranger.Verify([]byte(got.body), got.Header) == nil {
		t.Error("verifies with a key that never signed")
	}
}

func verify(t *testing.T, held string, got request) {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(held)
	if err != nil {
		t.Fatal(err)
	}
	if err := library.Verify([]byte(got.body), got.Header); err != nil {
		t.Errorf("the library refuses the request: %v", err)
	}
	tampered := http.Header{}
	for name, values := range got.Header {
		tampered[name] = values
	}
	tampered.Set("webhook-id", "another")
	if library.Verify([]byte(got.body), tampered) == nil {
		t.Error("the library accepts another id")
	}
}
