// Package broker reaches NATS: it connects by address, by credentials or by a context of the nats CLI, or it runs a server
// with JetStream inside this process.
//
// It owns no stream and no subject: see package queue.
package broker
