package rules

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of what a rule makes, in bytes.
const (
	maxHeader = 4 << 10 // a header's value, unless the endpoint says otherwise: see Tuning

	longestHeader = 64 << 10  // whatever it says
	maxBody       = 256 << 10 // a body
	maxSubject    = 512       // a subject
)

// toText turns one value into text: numbers as JSON writes them, times in RFC 3339 with milliseconds. Nil, lists and
// maps are errors, since "<nil>" in an order's number helps nobody. What is not UTF-8 is replaced by U+FFFD.
func toText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errors.New("the value is nil (?? gives a default)")
	case string:
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case time.Time:
		return v.UTC().Format(TimeFormat), nil
	case time.Duration:
		return v.String(), nil
	}
	switch kind := reflect.ValueOf(v); kind.Kind() {
	case reflect.String:
		return strings.ToValidUTF8(kind.String(), "\uFFFD"), nil
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer, reflect.Func:
		return "", fmt.Errorf("the value is %s, not text", kindOfValue(v))
	}
	raw, err := toJSON(v)
	return string(raw), err
}

// freeText is for a text body and for a reply, where a list or a map can stand as JSON.
func freeText(v any) (string, error) {
	switch kind := reflect.ValueOf(v).Kind(); kind {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
		if _, isTime := v.(time.Time); !isTime {
			raw, err := toJSON(v)
			return string(raw), err
		}
	}
	return toText(v)
}

// pathValue escapes a value for a segment of a path: it can't leave its segment. The segment as a whole is checked by
// checkSegments.
func pathValue(v any) (string, error) {
	s, err := toText(v)
	if err == nil && strings.IndexByte(s, 0) >= 0 {
		err = errors.New("the value has a NUL")
	}
	return url.PathEscape(s), err
}

// checkSegments refuses a path that means another place than its rule says: `.`, `..` and empty segments. A slash at
// the end is kept where the rule itself has it.
func checkSegments(path string, slashAtEnd bool) error {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		switch {
		case err != nil:
			return fmt.Errorf("segment %d is not escaped", i+1)
		case plain == "" && (i < len(segments)-1 || !slashAtEnd):
			return fmt.Errorf("segment %d is empty", i+1)
		case plain == "." || plain == "..":
			return fmt.Errorf("segment %d is %q", i+1, plain)
		}
	}
	return nil
}

// queryValue escapes a value for a query.
func queryValue(v any) (string, error) {
	s, err := toText(v)
	return url.QueryEscape(s), err
}

// headerValue lets a value be part of a header: it can't begin another one.
func headerValue(v any) (string, error) {
	s, err := toText(v)
	if err != nil {
		return "", err
	}
	return s, checkHeaderValue(s)
}

// checkHeaderValue refuses what would end a header: CR, LF, NUL and the other control characters except tab.
func checkHeaderValue(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("the value has the control character %q", c)
		}
	}
	if len(s) > longestHeader {
		return fmt.Errorf("%w: over %s", errTooLong, sizeText(longestHeader))
	}
	return nil
}

// subjectValue escapes a value for one token of a subject: letters, digits and - _ = + @ : ~ stay, every byte of
// anything else becomes %XX. An empty value is an error: a subject has no empty tokens.
func subjectValue(v any) (string, error) {
	s, err := toText(v)
	if err != nil {
		return "", err
	}
	if s == "" {
		return "", errors.New("the value is empty")
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_=+@:~", r) {
			b.WriteRune(r)
			continue
		}
		var raw [utf8.UTFMax]byte
		for _, c := range raw[:utf8.EncodeRune(raw[:], r)] {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}
