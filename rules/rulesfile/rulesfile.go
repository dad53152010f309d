// Package rulesfile reads rules from disk: one file, or a folder of them. Package rules does the rest and does no I/O.
package rulesfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"dgworker/rules"
)

// Load reads and compiles the rules at path with the variables of the environment. Its error is rules.Problems when the
// files could be read and have mistakes.
func Load(path string) (*rules.Set, error) {
	files, err := Read(path)
	if err != nil {
		return nil, err
	}
	return rules.Parse(files, os.LookupEnv)
}

// Read returns the file at path, or every .yaml and .yml file of the folder at path, by name.
func Read(path string) ([]rules.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = list(path); err != nil {
			return nil, err
		}
	}
	files := make([]rules.File, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		files = append(files, rules.File{Name: name, Text: text})
	}
	return files, nil
}

func list(dir string) ([]string, error) {
	var names []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, fmt.Errorf("read rules: folder %s: %w", dir, err)
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read rules: folder %s has no .yaml or .yml file", dir)
	}
	slices.Sort(names)
	return names, nil
}
