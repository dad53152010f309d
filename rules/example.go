package rules

import _ "embed"

//go:embed rules.example.yaml
var example []byte

// Example returns the living reference of a rules file, rules.example.yaml. The file at the root of the project is a link
// to the one in this folder, because what is embedded must stand beside the code that embeds it.
func Example() File { return File{Name: "rules.example.yaml", Text: append([]byte(nil), example...)} }

//go:embed rules.schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a rules file, for completion and hover text in editors. It knows the
// structure; expressions, names and everything that depends on two places are Parse's to judge.
func Schema() []byte { return append([]byte(nil), schema...) }
