// Package webhook is the sink that posts a delivery to an HTTP endpoint, once per call of Deliver.
//
// # The request
//
// The stored body goes out byte for byte, signed as Standard Webhooks asks (https://www.standardwebhooks.com): the
// headers webhook-id (the delivery's id, for ever the same), webhook-timestamp (of this attempt) and webhook-signature
// (one HMAC-SHA256 under each secret, so that receivers can change over while a secret is rotated). A delivery's path and
// query are added to the endpoint's URL; scheme, host and port always come from the Config.
//
// # The verdict
//
//	2xx                                     Delivered, also if the body that follows is cut, endless or slow
//	3xx                                     Permanent: redirects are not followed
//	410                                     Gone; Permanent if the delivery added a path or query of its own
//	408, 429, 5xx, network and TLS errors   Retry; on 429 and 503 with the pause that Retry-After asks for
//	any other status                        Limited to 3 attempts
//	a blocked address, a bad delivery       Permanent, without a connection
//
// # The guard
//
// What a language model said flows into these requests, and DNS belongs to whoever owns the name, so every address is
// checked after DNS, in the dialer, just before the connection is made: only public addresses pass, and those in Allow. A
// name with several addresses is dialled at the allowed ones alone. Plain http is possible only towards Allow. The OAuth2
// token client stands behind the same guard. Proxy variables of the environment are ignored.
//
// With a Proxy, it is the proxy that resolves and dials, and no client can check what it does. The proxy's own address is
// the operator's choice and is dialled whatever it is; the endpoint's host is checked where it is written as an
// address; what names may resolve to is for the proxy's own rules to decide.
//
// # The connection
//
// HTTP/1.1 only, on purpose: one request a connection keeps endpoints' attempts apart and makes "this connection was
// stale" a fact about one attempt, and HTTP/2 carried a third fewer requests on the same machine. No redirects, cookies,
// decompression or 100-continue. net/http would repeat a POST by itself where an Idempotency-Key header is set: both
// spellings of that header are refused.
//
// When a kept connection turns out to have been closed by the receiver before any byte of an answer, and soon enough to
// look like a closed connection and not like a receiver that broke while it worked, the attempt is made again at once on
// a new one and the verdict says so. A receiver that read the body and died in that instant sees the delivery twice,
// under the same id.
//
// The package owns no schedule, breaker or queue, and no state about a delivery: that is sinks/outbox. Templates are
// rendered, and their limits held, by rules.
package webhook
