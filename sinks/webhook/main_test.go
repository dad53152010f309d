package webhook_test

import (
	"net"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// proxyHits counts connections to the proxy that the environment of every test in this package names. Case 25 says that
// there must be none; net/http reads these variables once a process, so they are set before anything else.
var proxyHits atomic.Int64

func TestMain(m *testing.M) {
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		os.Setenv(name, "http://"+trap.Addr().String())
	}
	go func() {
		for conn, err := trap.Accept(); err == nil; conn, err = trap.Accept() {
			proxyHits.Add(1)
			conn.Close()
		}
	}()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
