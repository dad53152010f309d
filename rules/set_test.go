package rules

import (
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"
)

func TestExampleIsAccepted(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse([]File{{Name: "rules.example.yaml", Text: text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.Summary(), "rules.example.yaml: 6 rules, 1 bot, 1 webhook, 1 trigger: all right"; got != want {
		t.Errorf("summary is %q, want %q", got, want)
	}
	if b, ok := set.Bot("support"); !ok || b.Key != "demo" {
		t.Errorf("the bot is %+v", b)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{{Name: "r", Text: []byte("bots: {a: {key: k}}\nwebhooks: {w: {url: 'https://h', secret: " + validSecret + "}}\n")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bot, _ := set.Bot("a")
	if want := (&Bot{
		Name: "a", Key: "k", URL: "wss://dgbot.dgtech.co.in/ws", Settle: time.Second, ConnectTimeout: 10 * time.Second,
		TurnTimeout: 5 * time.Minute, ConversationTimeout: 30 * time.Minute, OnHandoff: "end", HandoffWait: 30 * time.Minute,
		Resend: "unobserved", ResumeWait: 30 * time.Second, MaxAttempts: 5, MaxTurns: 10, MaxFrame: 1 << 20,
		MaxTranscript: 512 << 10, MaxEvents: 1000, MaxContent: 32 << 10,
		Breaker: Breaker{10, 0.5, time.Minute, time.Second, 30 * time.Second},
	}); !reflect.DeepEqual(bot, want) {
		t.Errorf("got  %+v\nwant %+v", bot, want)
	}
	hook, _ := set.Webhook("w")
	if want := (&Webhook{
		Name: "w", URL: "https://h", Secrets: []string{validSecret}, Timeout: 20 * time.Second, Concurrency: 8, Format: "standard",
		Retry: []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour},
		Tuning: Tuning{
			ConnectTimeout: 5 * time.Second, TLSTimeout: 5 * time.Second, HeaderTimeout: 15 * time.Second, BodyTimeout: 2 * time.Second,
			IdleTimeout: 30 * time.Second, StaleWithin: time.Second, MaxRetryAfter: 24 * time.Hour, Jitter: 0.2, ClientErrorAttempts: 3,
			MaxResponseHeader: 64 << 10, MaxResponse: 16 << 10, MaxDrain: 64 << 10, MaxURL: 2 << 10, MaxHeader: 4 << 10, MaxBody: 256 << 10,
			Breaker: Breaker{10, 0.5, time.Minute, 30 * time.Second, 10 * time.Minute},
		},
	}); !reflect.DeepEqual(hook, want) {
		t.Errorf("got  %+v\nwant %+v", hook, want)
	}
}

func TestEverySetting(t *testing.T) {
	t.Parallel()
	environment := func(name string) (string, bool) {
		v, ok := map[string]string{"KEY": "from ${KEY}", "URL": "ws://10.0.0.1:8080/ws", "N": "7", "EMPTY": ""}[name]
		return v, ok
	}
	set, err := Parse([]File{{Name: "r", Text: []byte(`
bots:
  a:
    key: "${KEY} $${KEY} ${EMPTY}${UNSET:default}"
    url: ${URL}
    ca: /etc/ca.pem
    settle: 0s
    connect_timeout: 1s
    turn_timeout: 2m
    on_handoff: wait
    handoff_wait: 2h
    resend: never
    resume_wait: 0s
    max_attempts: ${N}
    max_turns: 3
    max_conversations: 0
    rate: 30/m
    max_frame: 64KiB
    max_transcript: 1MB
    max_events: 10
    max_content: ${UNSET:4096}
    breaker: {requests: 2, ratio: 25%, window: 3s, open: 4s, max_open: 5s}
webhooks:
  w:
    url: http://10.20.1.1:9000/in?x=1
    secret: [` + validSecret + `, whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz]
    timeout: 5s
    concurrency: 2
    rate: 0.5
    headers: {x-team: eu, Authorization: "Bearer ${N}"}
    retry: [0s, 1m, 1d]
    ca: ca.pem
    client_cert: client.pem
    oauth2: {token_url: https://login.example.com/token, client_id: id, client_secret: s, scopes: [a, b]}
    format: cloudevents
    allow: [10.20.0.7/16, "::1"]
    proxy: http://proxy:3128
    order: prompt.data.order_id
    connect_timeout: 1s
    tls_timeout: 2s
    header_timeout: 3s
    body_timeout: 4s
    idle_timeout: 5s
    stale_within: 6s
    max_retry_after: 1h
    jitter: 0
    client_error_attempts: 1
    max_response_header: 1KiB
    max_response: 2KiB
    max_drain: 3KiB
    max_url: 4KiB
    max_header: 5KiB
    max_body: 6KiB
    breaker: {requests: 2, ratio: 25%, window: 3s, open: 4s, max_open: 5s}
`)}}, environment)
	if err != nil {
		t.Fatal(err)
	}
	bot, _ := set.Bot("a")
	if want := (&Bot{
		Name: "a", Key: "from ${KEY} ${KEY} default", URL: "ws://10.0.0.1:8080/ws", CA: "/etc/ca.pem", ConnectTimeout: time.Second,
		TurnTimeout: 2 * time.Minute, ConversationTimeout: 2 * time.Hour, OnHandoff: "wait", HandoffWait: 2 * time.Hour,
		Resend: "never", MaxAttempts: 7, MaxTurns: 3, Rate: 0.5, MaxFrame: 64 << 10, MaxTranscript: 1e6, MaxEvents: 10, MaxContent: 4096,
		Breaker: Breaker{2, 0.25, 3 * time.Second, 4 * time.Second, 5 * time.Second},
	}); !reflect.DeepEqual(bot, want) {
		t.Errorf("got  %+v\nwant %+v", bot, want)
	}
	hook, _ := set.Webhook("w")
	if want := (&Webhook{
		Name: "w", URL: "http://10.20.1.1:9000/in?x=1", Secrets: []string{validSecret, "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"},
		Timeout: 5 * time.Second, Concurrency: 2, Rate: 0.5, Headers: map[string]string{"X-Team": "eu", "Authorization": "Bearer 7"},
		Retry: []time.Duration{0, time.Minute, 24 * time.Hour}, CA: "ca.pem", ClientCert: "client.pem",
		OAuth2: &OAuth2{"https://login.example.com/token", "id", "s", []string{"a", "b"}}, Format: "cloudevents",
		Allow: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("::1/128")}, Proxy: "http://proxy:3128", Order: "prompt.data.order_id",
		Tuning: Tuning{
			ConnectTimeout: time.Second, TLSTimeout: 2 * time.Second, HeaderTimeout: 3 * time.Second, BodyTimeout: 4 * time.Second,
			IdleTimeout: 5 * time.Second, StaleWithin: 6 * time.Second, MaxRetryAfter: time.Hour, Jitter: 0, ClientErrorAttempts: 1,
			MaxResponseHeader: 1 << 10, MaxResponse: 2 << 10, MaxDrain: 3 << 10, MaxURL: 4 << 10, MaxHeader: 5 << 10, MaxBody: 6 << 10,
			Breaker: Breaker{2, 0.25, 3 * time.Second, 4 * time.Second, 5 * time.Second},
		},
	}); !reflect.DeepEqual(hook, want) {
		t.Errorf("got  %+v\nwant %+v", hook, want)
	}
	if got := string(set.Files()[0].Text); !reflect.DeepEqual(got, string(set.files[0].Text)) || reflect.DeepEqual(got, "") {
		t.Errorf("the files are %q", got)
	}
}

// The version is that of the text as it was written: no name, no environment.
func TestVersion(t *testing.T) {
	t.Parallel()
	of := func(name, text, value string) string {
		set, err := Parse([]File{{Name: name, Text: []byte(text)}}, func(string) (string, bool) { return value, true })
		if err != nil {
			t.Fatal(err)
		}
		return set.Version()
	}
	first := of("a", "bots: {a: {key: '${K}'}}\n", "x")
	if again := of("b", "bots: {a: {key: '${K}'}}\n", "y"); again != first || len(first) != 16 {
		t.Errorf("the version is %s, then %s", first, again)
	}
	if other := of("a", "bots: {a: {key: '${K}'}} \n", "x"); other == first {
		t.Errorf("another text has the version %s too", other)
	}
}

func TestSetIsSorted(t *testing.T) {
	t.Parallel()
	set, err := Parse([]File{
		{Name: "1", Text: []byte("\uFEFFbots: {b: {key: k}}\r\nrules:\r\n  - name: z\r\n    on: unknown\r\n    bots: c\r\n    actions: [{publish: a}]\r\n")},
		{Name: "2", Text: []byte("# nothing\n")},
		{Name: "3", Text: []byte("bots: {c: {key: k}, a: {key: k}}\nrules:\n  - name: y\n    description: what for\n    on: [unknown, agent_left]\n    once: turn\n    cooldown: {for: 1d, key: prompt.id}\n    actions: [{reply: a}, {publish: b}]\n")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range set.Bots() {
		names = append(names, b.Name)
	}
	for _, r := range set.Rules() {
		names = append(names, r.Name)
	}
	if want := []string{"a", "b", "c", "z", "y"}; !reflect.DeepEqual(names, want) {
		t.Errorf("the names are %v, want %v", names, want)
	}
	r := set.Rules()[1]
	if r.Once != "turn" || r.Cooldown != 24*time.Hour || r.CooldownKey != "prompt.id" || r.Mode != "live" || r.File != "3" || r.Line != 3 || r.Description != "what for" {
		t.Errorf("the rule is %+v", r)
	}
	if want := []Kind{KindReply, KindPublish}; !reflect.DeepEqual(r.Kinds(), want) {
		t.Errorf("its kinds are %v", r.Kinds())
	}
}
