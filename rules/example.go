package rules

import _ "embed"

//go:embed rules.example.yaml
var example []byte

// Example returns the living reference of a rules file, rules.example.yaml. The file at the root of the project is a link
// to the one in this folder, because what is embedded must stand beside the code that embeds it.
func Example() File { return File{Name: "rules.example.yaml", Text: append([]byte(nil), example...)} }
