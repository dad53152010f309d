package webhook

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dgworker/sinks"
)

// judge is the verdict of a status, whatever body follows it.
func (s *Sink) judge(d sinks.Delivery, resp *http.Response) sinks.Verdict {
	v := sinks.Verdict{Status: resp.StatusCode, Reason: "the receiver answered " + statusText(resp.StatusCode)}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		v.Class, v.Reason = sinks.Delivered, ""
	case code >= 300 && code < 400:
		v.Class = sinks.Permanent
		v.Reason += "; redirects are not followed: put the final address into url"
	case code == http.StatusGone && d.Path == "" && d.Query == "":
		v.Class = sinks.Gone
	case code == http.StatusGone:
		v.Class = sinks.Permanent // this path is gone; the endpoint need not be
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		v.Class = sinks.Retry
		v.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now(), s.cfg.MaxRetryAfter)
	case code == http.StatusRequestTimeout, code >= 500 && code < 600:
		v.Class = sinks.Retry
	default:
		v.Class, v.MaxAttempts = sinks.Limited, s.cfg.LimitedAttempts
	}
	return v
}

// statusText is never the receiver's own phrase.
func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3) into a pause of 0 to limit. 0 means: none was asked for,
// it has passed, or it can't be read.
func retryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(limit/time.Second) { // err: too many digits
			return limit
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), limit)
}

// failed is the verdict of an attempt that got no status.
func (s *Sink) failed(l *limit, err error, address string) sinks.Verdict {
	v := sinks.Verdict{Class: sinks.Retry, Address: address, Reason: s.redact.reason(unquoted(err).Error())}
	var refused *tokenError
	switch {
	case blocked(err):
		v.Class, v.Address = sinks.Permanent, ""
	case l.parent.Err() != nil:
		v.Reason = s.redact.reason("the attempt was stopped: " + context.Cause(l.parent).Error())
	case errors.As(err, &refused):
		v.Class, v.RetryAfter = refused.class(), refused.retryAfter(s.cfg.MaxRetryAfter)
		if v.Class == sinks.Limited {
			v.MaxAttempts = s.cfg.LimitedAttempts
		}
	case l.Err() != nil:
		v.Reason = context.Cause(l).Error()
	}
	return v
}
