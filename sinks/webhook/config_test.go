package webhook_test

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"strings"
	"testing"

	"dgworker/sinks/webhook"
)

// quiet takes what test servers say about the clients that the tests make them refuse.
var quiet = log.New(io.Discard, "", 0)

func secretOf(n int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n)))
}

// Cases 1 to 6 once more: the rules refuse them in their file with a line number, and New where it is used without one.
func TestCases1To6RefusedAtLoad(t *testing.T) {
	t.Parallel()
	empty := pemFile(t, &pem.Block{Type: "NOTHING"})
	for name, c := range map[string]struct {
		cfg  webhook.Config
		says string
	}{
		"1 file":                  {webhook.Config{URL: "file:///etc/passwd"}, `scheme "file"`},
		"1 gopher":                {webhook.Config{URL: "gopher://example.com/"}, `scheme "gopher"`},
		"1 unix":                  {webhook.Config{URL: "unix:///run/docker.sock"}, `scheme "unix"`},
		"1 none":                  {webhook.Config{URL: "example.com/hooks"}, `scheme ""`},
		"1 empty":                 {webhook.Config{URL: " "}, "white space"},
		"1 plain http":            {webhook.Config{URL: "http://example.com"}, "plain http"},
		"2 placeholder":           {webhook.Config{URL: "https://{{x}}.example.com"}, "host"},
		"2 spaced placeholder":    {webhook.Config{URL: "https://{{ prompt.data.host }}/"}, "white space"},
		"2 variable":              {webhook.Config{URL: "https://${HOST}/"}, "host"},
		"2 escaped":               {webhook.Config{URL: "https://%7Bx%7D.example.com/"}, "%7B"},
		"3 user":                  {webhook.Config{URL: "https://user@example.com"}, "user name"},
		"3 user and password":     {webhook.Config{URL: "https://user:t0psecret@example.com"}, "user name"},
		"3 empty user":            {webhook.Config{URL: "https://@example.com"}, "user name"},
		"4 backslash":             {webhook.Config{URL: `https://good.example\@evil.example/`}, "backslash"},
		"4 empty host":            {webhook.Config{URL: "https:///path"}, "host is empty"},
		"4 only a port":           {webhook.Config{URL: "https://:443/path"}, "host is empty"},
		"4 port 0":                {webhook.Config{URL: "https://example.com:0"}, `port "0"`},
		"4 port 99999":            {webhook.Config{URL: "https://example.com:99999"}, `port "99999"`},
		"4 no port":               {webhook.Config{URL: "https://example.com:"}, `port ""`},
		"4 port of letters":       {webhook.Config{URL: "https://example.com:http"}, "port"},
		"4 line break":            {webhook.Config{URL: "https://example.com/\r\nX: y"}, "white space"},
		"4 fragment":              {webhook.Config{URL: "https://example.com/#t0psecret"}, "fragment"},
		"5 Host":                  {webhook.Config{Headers: map[string]string{"Host": "evil"}}, `"Host"`},
		"5 host":                  {webhook.Config{Headers: map[string]string{"host": "evil"}}, `"host"`},
		"5 Connection":            {webhook.Config{Headers: map[string]string{"Connection": "close"}}, `"Connection"`},
		"5 webhook-id":            {webhook.Config{Headers: map[string]string{"webhook-id": "x"}}, `"webhook-id"`},
		"5 Webhook-Anything":      {webhook.Config{Headers: map[string]string{"Webhook-Anything": "x"}}, `"Webhook-Anything"`},
		"5 Content-Length":        {webhook.Config{Headers: map[string]string{"Content-Length": "0"}}, `"Content-Length"`},
		"5 Transfer-Encoding":     {webhook.Config{Headers: map[string]string{"Transfer-Encoding": "chunked"}}, `"Transfer-Encoding"`},
		"5 Idempotency-Key":       {webhook.Config{Headers: map[string]string{"Idempotency-Key": "x"}}, `"Idempotency-Key"`},
		"5 X-Idempotency-Key":     {webhook.Config{Headers: map[string]string{"x-idempotency-key": "x"}}, `"x-idempotency-key"`},
		"5 Expect":                {webhook.Config{Headers: map[string]string{"Expect": "100-continue"}}, `"Expect"`},
		"5 Proxy-Authorization":   {webhook.Config{Headers: map[string]string{"Proxy-Authorization": "t0psecret"}}, `"Proxy-Authorization"`},
		"5 line break in a value": {webhook.Config{Headers: map[string]string{"X": "t0psecret\r\nHost: evil"}}, "control character"},
		"5 space in a name":       {webhook.Config{Headers: map[string]string{"X Y": "z"}}, "not a valid header name"},
		"5 colon in a name":       {webhook.Config{Headers: map[string]string{"Host:": "z"}}, "not a valid header name"},
		"5 twice":                 {webhook.Config{Headers: map[string]string{"X-A": "1", "x-a": "2"}}, "given twice"},
		"6 none":                  {webhook.Config{Secrets: []string{}}, "every request is signed"},
		"6 empty":                 {webhook.Config{Secrets: []string{""}}, "secret 1"},
		"6 second one empty":      {webhook.Config{Secrets: []string{secret, ""}}, "secret 2"},
		"6 no prefix":             {webhook.Config{Secrets: []string{"t0psecret"}}, "whsec_"},
		"6 prefix alone":          {webhook.Config{Secrets: []string{"whsec_"}}, "0 bytes"},
		"6 short":                 {webhook.Config{Secrets: []string{secretOf(23)}}, "23 bytes"},
		"6 long":                  {webhook.Config{Secrets: []string{secretOf(65)}}, "65 bytes"},
		"6 not base64":            {webhook.Config{Secrets: []string{"whsec_t0psecret!"}}, "base64"},
		"6 base64 with a break":   {webhook.Config{Secrets: []string{secret + "\n"}}, "base64"},
		"token URL":               {webhook.Config{OAuth2: &webhook.OAuth2{TokenURL: "http://user:t0psecret@[::1", ClientID: "a"}}, "oauth2: token_url"},
		"token client":            {webhook.Config{OAuth2: &webhook.OAuth2{TokenURL: "https://a.example", ClientID: "a"}}, "client_secret"},
		"token and header":        {webhook.Config{OAuth2: &webhook.OAuth2{}, Headers: map[string]string{"authorization": "t0psecret"}}, "remove one"},
		"format":                  {webhook.Config{Format: "xml"}, `format: "xml"`},
		"proxy":                   {webhook.Config{Proxy: "socks5://u:t0psecret@localhost"}, "proxy"},
		"proxy that is no URL":    {webhook.Config{Proxy: "http://u:t0psecret@[::1"}, "proxy"},
		"user agent":              {webhook.Config{UserAgent: "a\nb"}, "user agent"},
		"negative limit":          {webhook.Config{DrainBytes: -1}, "negative"},
		"no such CA":              {webhook.Config{CA: "/nowhere.pem"}, "/nowhere.pem"},
		"CA without certificates": {webhook.Config{CA: empty}, "holds no certificate"},
		"no such certificate":     {webhook.Config{ClientCert: "/nowhere.pem"}, "/nowhere.pem"},
		"certificate of nothing":  {webhook.Config{ClientCert: empty}, "needs a certificate and its key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.cfg.URL == "" {
				c.cfg.URL = "https://example.com"
			}
			if c.cfg.Secrets == nil {
				c.cfg.Secrets = []string{secret}
			}
			c.cfg.Name = "refunds"
			_, err := webhook.New(c.cfg)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if text := err.Error(); !strings.Contains(text, c.says) || !strings.Contains(text, `webhook "refunds"`) || strings.Contains(text, "t0psecret") {
				t.Errorf("the error %q should say %q, the endpoint's name and no secret", text, c.says)
			}
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	t.Parallel()
	_, err := webhook.New(webhook.Config{
		URL: "gopher://x", Secrets: []string{"x"}, Format: "y", Headers: map[string]string{"Host": "z", "Te": "z"}, Proxy: "q", Timeout: -1,
	})
	for _, part := range []string{"url:", "secret 1:", "format:", `"Host"`, `"Te"`, "proxy:", "negative"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not mention %s", err, part)
		}
	}
}
