package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"dgworker/rules"
	"dgworker/rules/rulesfile"
	"dgworker/rules/ruletest"
	"dgworker/worker/queue"
)

// loadOffline compiles the rules at path for trying them out: variables that aren't set need no value.
func loadOffline(path string) (*rules.Set, error) {
	files, err := rulesfile.Read(path)
	if err != nil {
		return nil, err
	}
	return ruletest.ParseOffline(files, os.LookupEnv)
}

// recorded finds the outcomes that arg names: those of a file, "-" for standard input, or the one of a prompt's id.
func recorded(ctx context.Context, h *history, arg string) ([]*ruletest.Outcome, error) {
	if arg == "-" {
		return readOutcomes("standard input", os.Stdin)
	}
	file, err := os.Open(arg)
	if err == nil {
		defer func() { _ = file.Close() }() // only read
		return readOutcomes(arg, file)
	}
	if !errors.Is(err, os.ErrNotExist) || looksLikeFile(arg) {
		return nil, fmt.Errorf("read outcome: %w", err)
	}
	o, err := h.outcome(ctx, arg)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, fmt.Errorf("no file %s, and no outcome of a prompt with this id (it may still run, or its outcome has expired): %w", arg, errNo)
	case err != nil:
		return nil, fmt.Errorf("there is no file %s, and as a prompt's id it can't be looked for: %w", arg, err)
	}
	return []*ruletest.Outcome{o}, nil
}

// looksLikeFile says whether arg can only be meant as a file.
func looksLikeFile(arg string) bool {
	return strings.ContainsAny(arg, "/\\") || strings.HasSuffix(arg, ".json") || strings.HasSuffix(arg, ".jsonl")
}

// readOutcomes reads JSON values one after the other: one outcome over many lines, or one a line.
func readOutcomes(name string, r io.Reader) ([]*ruletest.Outcome, error) {
	d := json.NewDecoder(bufio.NewReader(r))
	var all []*ruletest.Outcome
	for {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: this is not JSON: %w", name, err)
		}
		if bytes.HasPrefix(raw, []byte("[")) {
			return nil, fmt.Errorf("read %s: this is a list; outcomes come one after the other, one a line say", name)
		}
		o, err := ruletest.ReadOutcome(raw)
		if err != nil {
			return nil, fmt.Errorf("read %s, outcome %d: %w", name, len(all)+1, err)
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read %s: no outcome in it", name)
	}
	return all, nil
}
