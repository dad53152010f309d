package publish_test

import (
	"net/http"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"dgworker/sinks/publish"
)

// The CloudEvents SDK for Go reads binary mode off HTTP headers; the NATS binding uses the same names and encoding.
func TestCloudEventsSDKReadsBinaryMode(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t, nil))
	sub := listen(t, nc, "backoffice.>")
	newSink(t, publish.Config{Conn: nc}).Deliver(t.Context(), delivery())
	m := receive(t, sub)
	h := http.Header{}
	for name, values := range m.Header {
		h.Set(name, values[0])
	}
	message := cehttp.NewMessage(h, nil)
	if message.ReadEncoding() != binding.EncodingBinary {
		t.Fatalf("the SDK takes it for %s", message.ReadEncoding())
	}
	got, err := binding.ToEvent(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	d := delivery()
	if err := got.Validate(); err != nil || got.ID() != d.ID || got.Source() != "/dgworker/bots/support" ||
		got.Type() != "dgworker.final_response" || got.DataContentType() != "application/json" ||
		got.Time().UnixMilli() != d.CreatedAt.UnixMilli() {
		t.Errorf("%v, %v", got, err)
	}
}
