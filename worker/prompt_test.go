package worker

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var arrived = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

func jobOf(payload string) *Job {
	return &Job{Bot: "support", Payload: []byte(payload), Arrived: arrived, PositionID: "p1-abc"}
}

func TestParsePrompt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload string
		want    []string
		check   func(*Prompt) bool
	}{
		"text":                   {"Where is my order?", []string{"Where is my order?"}, nil},
		"text keeps its spaces":  {" hello \n", []string{" hello \n"}, nil},
		"a JSON string is text":  {`"hello"`, []string{`"hello"`}, nil},
		"a JSON array is text":   {`["a"]`, []string{`["a"]`}, nil},
		"content":                {`{"content":"Hi"}`, []string{"Hi"}, nil},
		"space before the brace": {" \t\r\n{\"content\":\"Hi\"}\n", []string{"Hi"}, nil},
		"messages":               {`{"messages":["a","b"]}`, []string{"a", "b"}, nil},
		"content goes first":     {`{"messages":["b","c"],"content":"a"}`, []string{"a", "b", "c"}, nil},
		"nulls are absent":       {`{"content":"a","id":null,"messages":null,"visitor_id":null,"data":null,"timeout":null,"expires_at":null,"reply_to":null}`, []string{"a"}, func(p *Prompt) bool { return p.Data == nil && p.Deadline.IsZero() && p.ID == "p1-abc" }},
		"id":                     {`{"content":"a","id":"o-1"}`, []string{"a"}, func(p *Prompt) bool { return p.ID == "o-1" }},
		"visitor":                {`{"content":"a","visitor_id":"v/1 é"}`, []string{"a"}, func(p *Prompt) bool { return p.VisitorID == "v/1 é" }},
		"reply_to":               {`{"content":"a","reply_to":"_INBOX.x"}`, []string{"a"}, func(p *Prompt) bool { return p.ReplyTo == "_INBOX.x" }},
		"timeout as a duration":  {`{"content":"a","timeout":"90s"}`, []string{"a"}, func(p *Prompt) bool { return p.Deadline.Equal(arrived.Add(90 * time.Second)) }},
		"timeout in seconds":     {`{"content":"a","timeout":1.5}`, []string{"a"}, func(p *Prompt) bool { return p.Deadline.Equal(arrived.Add(1500 * time.Millisecond)) }},
		"expires_at":             {`{"content":"a","expires_at":"2026-11-03T10:00:00+01:00"}`, []string{"a"}, func(p *Prompt) bool { return p.Deadline.Equal(arrived) }},
		"the earlier deadline":   {`{"content":"a","expires_at":"2026-11-03T09:01:00Z","timeout":"1h"}`, []string{"a"}, func(p *Prompt) bool { return p.Deadline.Equal(arrived.Add(time.Minute)) }},
		"the earlier timeout":    {`{"content":"a","expires_at":"2026-11-03T10:00:00Z","timeout":60}`, []string{"a"}, func(p *Prompt) bool { return p.Deadline.Equal(arrived.Add(time.Minute)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePrompt(jobOf(c.payload), 1000)
			if err != nil {
				t.Fatalf("ParsePrompt(%s): %v", c.payload, err)
			}
			if !reflect.DeepEqual(p.Messages, c.want) || p.Content != c.want[0] || p.Bot != "support" || p.Place != "p1-abc" {
				t.Errorf("ParsePrompt(%s) = %+v, want the messages %q", c.payload, p, c.want)
			}
			if c.check != nil && !c.check(p) {
				t.Errorf("ParsePrompt(%s) = %+v", c.payload, p)
			}
		})
	}
}

func TestParsePromptRejects(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string][]string{
		"":                                     {"empty"},
		" \n\t":                                {"empty"},
		"\xff":                                 {"UTF-8"},
		"{\"content\":\"\xff\"}":               {"UTF-8"},
		`{`:                                    {"JSON"},
		`{"content":"a"`:                       {"JSON"},
		`{"content":"a"} {"content":"b"}`:      {"follows", "byte"},
		`{"content":"a"}}`:                     {"follows", "byte"},
		`{"content":"a"}]`:                     {"follows", "byte"},
		`{"content":"a"} x`:                    {"follows", "byte"},
		`{}`:                                   {"content", "messages"},
		`{"messages":[]}`:                      {"content", "messages"},
		`{"content":" "}`:                      {"message 1 is empty"},
		`{"messages":["a",""]}`:                {"message 2 is empty"},
		`{"messages":["a",null]}`:              {"message 2 is empty"},
		`{"content":5}`:                        {`"content"`, "number", "string"},
		`{"content":["a"]}`:                    {`"content"`, "array", "string"},
		`{"messages":"a"}`:                     {`"messages"`, "string"},
		`{"messages":["a",5]}`:                 {`"messages"`, "number"},
		`{"content":"a","id":5}`:               {`"id"`, "number", "string"},
		`{"content":"a","id":""}`:              {`"id"`, "1 to 256"},
		`{"content":"a","visitor_id":{}}`:      {`"visitor_id"`, "object", "string"},
		`{"content":"a","visitor_id":""}`:      {`"visitor_id"`, "1 to 256"},
		`{"content":"a","reply_to":true}`:      {`"reply_to"`, "bool", "string"},
		`{"content":"a","timeout":"soon"}`:     {`"timeout"`, "soon"},
		`{"content":"a","timeout":0}`:          {`"timeout"`, "positive"},
		`{"content":"a","timeout":-1}`:         {`"timeout"`, "positive"},
		`{"content":"a","timeout":1e12}`:       {`"timeout"`},
		`{"content":"a","timeout":[]}`:         {`"timeout"`},
		`{"content":"a","expires_at":"later"}`: {`"expires_at"`, "RFC 3339", "later"},
		`{"content":"a","expires_at":5}`:       {`"expires_at"`, "RFC 3339"},
		`{"content":"a","contents":"b"}`:       {`"contents"`, "unknown"},
		strings.Repeat("x", 1001):              {"1001 bytes", "1000", "max_content"},
		`{"messages":["a","` + strings.Repeat("x", 1001) + `"]}`:             {"message 2", "1001 bytes"},
		`{"content":"a","id":"` + strings.Repeat("x", 257) + `"}`:            {`"id"`, "256"},
		`{"content":"a","visitor_id":"` + strings.Repeat("v", 257) + `"}`:    {`"visitor_id"`, "256"},
		`{"content":"a","data":{"a":1},"data":` + strings.Repeat("[", 20000): {"JSON"},
	} {
		p, err := ParsePrompt(jobOf(payload), 1000)
		var bad *InvalidError
		if !errors.As(err, &bad) {
			t.Errorf("ParsePrompt(%.60q) = %v, want an InvalidError", payload, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("ParsePrompt(%.60q) = %v, want %q in it", payload, err, w)
			}
		}
		if p == nil || p.ID != "p1-abc" || p.Bot != "support" {
			t.Errorf("ParsePrompt(%.60q) left the rejected prompt without id or bot: %+v", payload, p)
		}
	}
}

func TestPromptIDFallsBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ payload, header, want string }{
		"payload over header":           {`{"content":"a","id":"own"}`, "msg-1", "own"},
		"header over position":          {`{"content":"a"}`, "msg-1", "msg-1"},
		"text has the header's":         {`hello`, "msg-1", "msg-1"},
		"position":                      {`hello`, "", "p1-abc"},
		"a header too long is no id":    {`hello`, strings.Repeat("x", 257), "p1-abc"},
		"also of a payload that is bad": {`{"content":5,"id":"own"}`, "msg-1", "own"},
		"after a field that is bad":     {`{"expires_at":"x","id":"own"}`, "msg-1", "own"},
		"a bad id leaves the header's":  {`{"content":"a","id":""}`, "msg-1", "msg-1"},
	} {
		job := jobOf(c.payload)
		if c.header != "" {
			job.Headers = map[string][]string{HeaderID: {c.header, "other"}}
		}
		if p, _ := ParsePrompt(job, 1000); p.ID != c.want {
			t.Errorf("%s: id %q, want %q", name, p.ID, c.want)
		}
	}
}

func TestLaneNamesTheVisitor(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`hello`:                            "lane-7",
		`{"content":"a"}`:                  "lane-7",
		`{"content":"a","visitor_id":"v"}`: "v",
	} {
		job := jobOf(payload)
		job.Lane = "lane-7"
		p, err := ParsePrompt(job, 1000)
		if err != nil || p.VisitorID != want || p.Lane != "lane-7" {
			t.Errorf("ParsePrompt(%s) on a lane: visitor %q, lane %q, %v; want visitor %q", payload, p.VisitorID, p.Lane, err, want)
		}
	}
}

func TestDataKeepsItsNumbers(t *testing.T) {
	t.Parallel()
	p, err := ParsePrompt(jobOf(`{"content":"a","data":{"order":9007199254740993,"neg":-7,"price":49.9,"one":1.0,"list":[1,{"n":2}],"s":"1"}}`), 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"order": 9007199254740993, "neg": -7, "price": 49.9, "one": 1.0, "list": []any{1, map[string]any{"n": 2}}, "s": "1"}
	if !reflect.DeepEqual(p.Data, want) {
		t.Errorf("data is %#v, want %#v", p.Data, want)
	}
}

// An outcome is read again to run its prompt once more, to explain it, and to test other rules on it.
func TestPromptRecordReadsBackEqual(t *testing.T) {
	t.Parallel()
	p, err := ParsePrompt(jobOf(`{"content":"a","data":{"order":9007199254740993,"price":49.5}}`), 1000)
	if err != nil {
		t.Fatal(err)
	}
	was := PromptRecord{Content: p.Content, Data: p.Data}
	b, err := json.Marshal(Outcome{Prompt: was})
	if err != nil {
		t.Fatal(err)
	}
	var o Outcome
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(o.Prompt, was) {
		t.Errorf("read back as %#v, want %#v", o.Prompt, was)
	}
}

func TestFirstHeaders(t *testing.T) {
	t.Parallel()
	job := jobOf("hello")
	job.Headers = map[string][]string{"X-Team": {"a", "b"}, "Empty": {}, HeaderRetryOf: {"old"}}
	p, err := ParsePrompt(job, 1000)
	if err != nil || p.Headers["X-Team"] != "a" || p.RetryOf != "old" {
		t.Errorf("headers %v, retry of %q, %v", p.Headers, p.RetryOf, err)
	}
}
