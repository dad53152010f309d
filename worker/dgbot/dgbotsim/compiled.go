package dgbotsim

import (
	"cmp"
	"regexp"
	"sync/atomic"
	"time"
)

// script is a Script with its expressions compiled and its defaults filled in.
type script struct {
	Script
	refuse  []*refusal
	replies []*reply
}

type refusal struct {
	Refusal
	key, visitor *regexp.Regexp
	used         atomic.Int64
}

type reply struct {
	Reply
	match, key, visitor *regexp.Regexp
	used                atomic.Int64
}

func compile(s Script) (script, error) {
	if err := s.Validate(); err != nil {
		return script{}, err
	}
	s.Speed = cmp.Or(s.Speed, 1)
	s.ResumeFor = cmp.Or(s.ResumeFor, time.Minute)
	out := script{Script: s}
	for _, r := range s.Refuse {
		out.refuse = append(out.refuse, &refusal{
			Refusal: r,
			key:     regexp.MustCompile(r.Key), visitor: regexp.MustCompile(r.Visitor),
		})
	}
	for _, r := range s.Replies {
		out.replies = append(out.replies, &reply{
			Reply: r,
			match: regexp.MustCompile(r.Match),
			key:   regexp.MustCompile(r.Key), visitor: regexp.MustCompile(r.Visitor),
		})
	}
	return out, nil
}

// scale divides by the speed; at Instant nothing is left.
func (s *script) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.Speed)
}

// refusal returns the first refusal for a visitor that is not used up, and uses it.
func (s *script) refusal(key, visitor string) *refusal {
	for _, r := range s.refuse {
		if r.key.MatchString(key) && r.visitor.MatchString(visitor) && use(&r.used, r.Times) {
			return r
		}
	}
	return nil
}

// reply returns the first reply for a message that is not used up, and uses it. last is the Name of the reply before.
func (s *script) reply(key, visitor, message, last string) *reply {
	for _, r := range s.replies {
		if (r.After == "" || r.After == last) && r.match.MatchString(message) &&
			r.key.MatchString(key) && r.visitor.MatchString(visitor) && use(&r.used, r.Times) {
			return r
		}
	}
	return nil
}

// use takes one of times uses, of which there is no end if times is 0.
func use(used *atomic.Int64, times int) bool {
	return times == 0 || used.Add(1) <= int64(times)
}

// composer returns one for a message, whose captures go into the texts.
func (s *script) composer(re *regexp.Regexp, message string, newID func() string) *composer {
	return &composer{expand: expander(re, message), newID: newID, scale: s.scale, delay: s.Delay}
}
