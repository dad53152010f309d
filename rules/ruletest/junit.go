package ruletest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of JUnit's XML report, as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results as JUnit XML, a suite for each fixture, in the order of the results.
func WriteJUnit(w io.Writer, results []Result) error {
	all := junitSuites{}
	var took, suiteTook time.Duration
	for _, r := range results {
		if len(all.Suites) == 0 || all.Suites[len(all.Suites)-1].Name != r.File {
			all.Suites, suiteTook = append(all.Suites, junitSuite{Name: r.File}), 0
		}
		s := &all.Suites[len(all.Suites)-1]
		c := junitCase{Name: r.Test, Class: r.File, File: r.File, Line: r.Line, Time: seconds(r.Took)}
		if r.Failed() {
			first, _, _ := strings.Cut(r.Failures[0], "\n")
			c.Failure = &junitFailure{Message: strings.TrimSuffix(first, ":"), Text: strings.Join(r.Failures, "\n")}
			s.Failures++
			all.Failures++
		}
		took, suiteTook = took+r.Took, suiteTook+r.Took
		s.Cases, s.Time = append(s.Cases, c), seconds(suiteTook)
		s.Tests++
		all.Tests++
	}
	all.Time = seconds(took)
	data, err := xml.MarshalIndent(all, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, data)
	}
	if err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
