package rules

import (
	"net/netip"
	"time"
)

// Bot is one entry of `bots`: how to reach a DGbot and how patient to be with it. Parse fills every default, so a zero
// means zero.
type Bot struct {
	Name                string
	Key                 string        // DGbot's chatbot id; never logged
	URL                 string        // ws or wss; defaults to wss://dgbot.dgtech.co.in/ws
	CA                  string        // PEM file with the roots to trust for wss; "" is the system's
	Settle              time.Duration // quiet time that ends a turn; defaults to 1s
	ConnectTimeout      time.Duration // TCP, TLS and upgrade together; defaults to 10s
	TurnTimeout         time.Duration // longest turn; defaults to 5m. It rests while a person has the conversation
	ConversationTimeout time.Duration // longest conversation; defaults to 30m, and is not less than a longer HandoffWait
	OnHandoff           string        // "end" (default) or "wait"
	HandoffWait         time.Duration // how long `on_handoff: wait` keeps the conversation open; defaults to 30m
	Resend              string        // "unobserved" (default), "never" or "always"
	ResumeWait          time.Duration // how long a turn that was cut off after it showed something is listened for; defaults to 30s
	MaxAttempts         int           // of a prompt; defaults to 5
	MaxTurns            int           // visitor messages a conversation; defaults to 10
	MaxConversations    int           // open at once a worker; 0 (default) is no limit beyond --concurrency
	Rate                float64       // new conversations a second a worker; 0 (default) is no limit
	MaxFrame            int           // bytes a frame; defaults to 1 MiB
	MaxTranscript       int           // bytes kept of what was said; beyond it the transcript is cut; defaults to 512 KiB
	MaxEvents           int           // events that rules can see, a conversation; defaults to 1000
	MaxContent          int           // bytes a visitor message may have; defaults to 32 KiB
	Breaker             Breaker       // opens by sockets that can't be opened; defaults to {10, 0.5, 60s, 1s, 30s}
}

// Webhook is one entry of `webhooks`: an endpoint that rules may post to.
type Webhook struct {
	Name        string
	URL         string            // https, or http where Allow has its address
	Secrets     []string          // whsec_…; the first signs first; all sign while a key is rotated
	Timeout     time.Duration     // an attempt in all; defaults to 20s
	Concurrency int               // attempts at once a worker; defaults to 8
	Rate        float64           // attempts a second a worker; 0 (default) is no limit
	Headers     map[string]string // sent with every request
	Retry       []time.Duration   // delay before each attempt, the first included; defaults to 0s 5s 5m 30m 2h 5h 10h 14h 20h 24h
	CA          string            // PEM file with the roots to trust; "" is the system's
	ClientCert  string            // PEM file with certificate and key for mutual TLS
	OAuth2      *OAuth2
	Format      string         // "standard" (default) or "cloudevents"
	Allow       []netip.Prefix // networks that are private and yet meant
	Proxy       string         // http or https proxy URL; "" (default) is none, whatever the environment says
	Order       string         // expression; deliveries of one value are made one after the other, in their order; "" (default) is no order
	Tuning
}

// OAuth2 is the client-credentials grant of an endpoint.
type OAuth2 struct {
	TokenURL     string
	ClientID     string
	ClientSecret string
	Scopes       []string
}
