package main

import "dgworker/worker/broker"

// natsFlags say where NATS is and who we are. The variables of the nats CLI (NATS_URL, NATS_CREDS, …) count where neither
// flag nor DGWORKER_ variable is given.
type natsFlags struct {
	NATS            string `name:"nats" placeholder:"URL" env:"DGWORKER_NATS,NATS_URL" help:"NATS server, several with commas."`
	Context         string `placeholder:"NAME" env:"DGWORKER_CONTEXT,NATS_CONTEXT" help:"A context of the nats CLI, instead of --nats."`
	NATSCreds       string `name:"nats-creds" type:"path" placeholder:"FILE" env:"DGWORKER_NATS_CREDS,NATS_CREDS" help:"User credentials."`
	NATSNkey        string `name:"nats-nkey" type:"path" placeholder:"FILE" env:"DGWORKER_NATS_NKEY,NATS_NKEY" help:"NKey seed."`
	NATSUser        string `name:"nats-user" placeholder:"NAME" env:"DGWORKER_NATS_USER,NATS_USER" help:"User name."`
	NATSPassword    string `name:"nats-password" placeholder:"SECRET" env:"DGWORKER_NATS_PASSWORD,NATS_PASSWORD" help:"Password; better as a variable."`
	NATSToken       string `name:"nats-token" placeholder:"SECRET" env:"DGWORKER_NATS_TOKEN,NATS_TOKEN" help:"Token; better as a variable."`
	NATSCA          string `name:"nats-ca" type:"path" placeholder:"FILE" env:"DGWORKER_NATS_CA,NATS_CA" help:"Roots to trust (PEM)."`
	NATSCert        string `name:"nats-cert" type:"path" placeholder:"FILE" env:"DGWORKER_NATS_CERT,NATS_CERT" help:"Client certificate (PEM)."`
	NATSKey         string `name:"nats-key" type:"path" placeholder:"FILE" env:"DGWORKER_NATS_KEY,NATS_KEY" help:"Its key (PEM)."`
	NATSTLSFirst    bool   `name:"nats-tls-first" env:"DGWORKER_NATS_TLS_FIRST" help:"TLS before the server's first word."`
	NATSDomain      string `name:"nats-domain" placeholder:"NAME" env:"DGWORKER_NATS_DOMAIN" help:"JetStream domain."`
	NATSAPIPrefix   string `name:"nats-api-prefix" placeholder:"SUBJECT" env:"DGWORKER_NATS_API_PREFIX" help:"JetStream API prefix, instead of a domain."`
	NATSInboxPrefix string `name:"nats-inbox-prefix" placeholder:"SUBJECT" env:"DGWORKER_NATS_INBOX_PREFIX" help:"Where replies to us go."`
	Prefix          string `default:"dgbot" env:"DGWORKER_PREFIX" help:"First tokens of every subject."`
}

func (f natsFlags) settings() broker.Settings {
	return broker.Settings{
		URL: f.NATS, Context: f.Context, Creds: f.NATSCreds, NKey: f.NATSNkey, User: f.NATSUser, Password: f.NATSPassword,
		Token: f.NATSToken, CA: f.NATSCA, Cert: f.NATSCert, Key: f.NATSKey, TLSFirst: f.NATSTLSFirst, Domain: f.NATSDomain,
		APIPrefix: f.NATSAPIPrefix, InboxPrefix: f.NATSInboxPrefix,
	}
}
