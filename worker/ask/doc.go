// Package ask lets any program ask and wait: a NATS micro service named dgworker answers a request on
// <prefix>.ask.<bot> with the outcome of the prompt that it holds.
//
// The prompt is stored like any other, with the request's inbox as its reply_to, before anything else happens. So the
// answer comes also when the process that took the request dies: whoever ends the prompt sends it. What this package adds
// is the refusal of what is no prompt, and an error when there is no outcome in time.
package ask
