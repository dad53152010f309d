package broker

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEmbeddedServerKeepsItsData(t *testing.T) {
	t.Parallel()
	e := Embed{Dir: filepath.Join(t.TempDir(), "not", "there", "yet"), Listen: "127.0.0.1:0"}
	for n := range uint64(2) {
		s, err := Start(e)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect(s.URL()) // as any client would
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().State.Msgs; got != n {
			t.Errorf("start %d finds %d messages", n+1, got)
		}
		if _, err := js.Publish(t.Context(), "s", nil); err != nil {
			t.Fatal(err)
		}
		nc.Close()
		s.Stop()
		s.Stop()
	}
	if info, err := os.Stat(e.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v; nobody else may read prompts", info.Mode(), err)
	}
}

func TestEmbeddedServerStartsByTheInterval(t *testing.T) {
	t.Parallel()
	s, err := Start(Embed{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
}

func TestEmbeddedServerMistakes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]Embed{
		"--nats nats://" + l.Addr().String(): {Dir: t.TempDir(), Listen: l.Addr().String()},
		"--data-dir":                         {Dir: file, Listen: "127.0.0.1:0"},
		`"4222" is not host:port`:            {Dir: t.TempDir(), Listen: "4222"},
		`"127.0.0.1:nats" is not host:port`:  {Dir: t.TempDir(), Listen: "127.0.0.1:nats"},
	} {
		if _, err := Start(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start with %+v: %v, want %q in it", e, err, want)
		}
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	if got := DefaultDir(); got != filepath.Join("/data", "dgworker") {
		t.Errorf("default %s", got)
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "/home/ops")
	if got := DefaultDir(); got != filepath.Join("/home/ops", ".local", "share", "dgworker") {
		t.Errorf("default %s", got)
	}
}

func startServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	change(opts)
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS isn't ready")
	}
	return s
}

func TestConnect(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Username, o.Password = "ops", "the-password" })
	plain := "nats://" + s.Addr().String()
	for name, c := range map[string]struct {
		settings Settings
		want     string // in the error; "" connects
	}{
		"user and password":      {Settings{URL: plain, User: "ops", Password: "the-password"}, ""},
		"in the URL":             {Settings{URL: "nats://ops:the-password@" + s.Addr().String()}, ""},
		"own inbox":              {Settings{URL: plain, User: "ops", Password: "the-password", InboxPrefix: "_OPS"}, ""},
		"a domain":               {Settings{URL: plain, User: "ops", Password: "the-password", Domain: "hub"}, ""},
		"an API prefix":          {Settings{URL: plain, User: "ops", Password: "the-password", APIPrefix: "$JS.hub.API"}, ""},
		"wrong password":         {Settings{URL: plain, User: "ops", Password: "wrong-secret"}, "--nats-user"},
		"nobody":                 {Settings{URL: plain}, "--nats-creds"},
		"a wrong one in the URL": {Settings{URL: "nats://ops:wrong-secret@" + s.Addr().String()}, "--nats-creds"},
		"no server there":        {Settings{URL: "nats://wrong-secret@127.0.0.1:1"}, "is the server running"},
		"several":                {Settings{URL: "nats://wrong-secret@127.0.0.1:1,wrong-secret@127.0.0.1:2"}, "(nats://127.0.0.1:1,nats://127.0.0.1:2)"},
		"no such creds":          {Settings{URL: plain, Creds: "/no/such.creds"}, "/no/such.creds"},
		"no such nkey":           {Settings{URL: plain, NKey: "/no/such.nk"}, "/no/such.nk"},
		"no such CA":             {Settings{URL: plain, CA: "/no/such.pem"}, "/no/such.pem"},
		"no such context":        {Settings{Context: "/no/such/context.json"}, "context /no/such/context.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, _, err := Connect(c.settings, "test", zap.NewNop())
			if nc != nil {
				defer nc.Close()
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("connect: %v", err)
			case c.want == "":
				if got := Address(nc); got != plain {
					t.Errorf("connected to %s, want %s", got, plain)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("connect: %v, want %q in it", err, c.want)
			case strings.Contains(err.Error(), "wrong-secret"):
				t.Errorf("a secret is in the message: %v", err)
			}
		})
	}
}

func TestConnectIsBackAfterACut(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *server.Options) { o.Authorization = "the-token" })
	core, logs := observer.New(zap.InfoLevel)
	nc, _, err := Connect(Settings{URL: "nats://the-token@" + s.Addr().String()}, "test", zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if strings.Contains(Address(nc), "the-token") {
		t.Errorf("the token is in %s", Address(nc))
	}
	back := nc.StatusChanged(nats.CONNECTED)
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-back:
	case <-time.After(20 * time.Second):
		t.Fatal(errors.New("not back"))
	}
	nc.Close()
	for _, line := range logs.All() {
		for _, f := range line.Context {
			if strings.Contains(f.String, "the-token") {
				t.Errorf("the token is logged: %v", line)
			}
		}
	}
}
