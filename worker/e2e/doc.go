// Package e2e holds tests only: processes of the built binary against a real NATS server process, the simulated DGbot and a
// real HTTP receiver, and faults of every kind between them. It proves the promises that the README makes.
//
//	go test ./worker/e2e -run Chaos -v                                    about 500 prompts
//	go test ./worker/e2e -run Chaos -v -timeout 60m -chaos.prompts=10000  the large run, on a cluster of three servers
package e2e
