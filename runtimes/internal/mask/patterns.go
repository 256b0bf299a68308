// Package mask hides secret values in text that leaves the sandbox. It guards against accident, not against a step
// that wants to tell: code can always encode a value. It never logs what it hides.
package mask

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Placeholder stands where a secret value stood.
const Placeholder = "***"

const (
	// minWhole is the length in bytes from which a value is searched for inside other text. A shorter one would
	// hide half of every log; it is hidden only where a string of an output or a failure is exactly it.
	minWhole = 4
	// minLine is the length from which a single line of a value of several lines is searched for.
	minLine = 8
	// MaxSecretBytes bounds all secret values of an attempt together: the automaton takes some 40 bytes for each.
	MaxSecretBytes = 256 << 10
)

// Secrets are the values to hide in one attempt.
type Secrets struct {
	automaton *automaton
	short     map[string]bool
}

// NewSecrets collects the strings and numbers in the given JSON values. It fails when they are too large together.
func NewSecrets(values []json.RawMessage) (*Secrets, error) {
	secrets := &Secrets{short: map[string]bool{}}
	var patterns []string
	total := 0
	for _, value := range values {
		var tree any
		decoder := json.NewDecoder(strings.NewReader(string(value)))
		decoder.UseNumber()
		if err := decoder.Decode(&tree); err != nil {
			return nil, fmt.Errorf("a sealed value is not JSON: %w", err)
		}
		for _, text := range leaves(tree, nil) {
			if total += len(text); total > MaxSecretBytes {
				return nil, fmt.Errorf("the arguments marked secret hold more than %d bytes together", MaxSecretBytes)
			}
			if len(text) < minWhole {
				secrets.short[text] = text != ""
			}
			patterns = append(patterns, variants(text)...)
		}
	}
	if len(patterns) > 0 {
		secrets.automaton = newAutomaton(patterns)
	}
	return secrets, nil
}

func leaves(tree any, found []string) []string {
	switch value := tree.(type) {
	case string:
		return append(found, value)
	case json.Number:
		return append(found, value.String())
	case []any:
		for _, item := range value {
			found = leaves(item, found)
		}
	case map[string]any:
		for _, item := range value {
			found = leaves(item, found)
		}
	}
	return found
}

// variants are the spellings under which a value is searched for: as it is, without surrounding space, its lines, and
// what JSON (and much like it, repr) makes of it.
func variants(text string) []string {
	found := map[string]bool{}
	add := func(candidate string, least int) {
		if len(candidate) >= least {
			found[candidate] = true
			quoted, _ := json.Marshal(candidate)
			found[strings.Trim(string(quoted), `"`)] = true
		}
	}
	add(text, minWhole)
	trimmed := strings.TrimSpace(text)
	add(trimmed, minWhole)
	if strings.Contains(trimmed, "\n") {
		for _, line := range strings.Split(trimmed, "\n") {
			add(strings.TrimSpace(line), minLine)
		}
	}
	result := make([]string, 0, len(found))
	for candidate := range found {
		result = append(result, candidate)
	}
	return result
}

// Text is a complete text with the secrets hidden.
func (s *Secrets) Text(text string) string {
	if s.short[text] {
		return Placeholder
	}
	if s.automaton == nil {
		return text
	}
	stream := s.Stream()
	masked := stream.Write([]byte(text))
	return string(append(masked, stream.Flush()...))
}

// None tells whether there is nothing to hide.
func (s *Secrets) None() bool { return s.automaton == nil && len(s.short) == 0 }

// Stream is a Stream over these secrets.
func (s *Secrets) Stream() *Stream { return &Stream{automaton: s.automaton} }
