package jsontext

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	cases := []struct {
		name, data, want string
	}{
		{"null", "null", ""},
		{"a tree", `{"a": [1, 2.5, -3e10, "x", true, null], "b": {}}`, ""},
		{"a big integer", strings.Repeat("9", 500), ""},
		{"a pair of surrogates", `"\ud83d\ude00"`, ""},
		{"a backslash before u0000", `"\\u0000"`, ""},
		{"brackets in a string are no depth", `"` + strings.Repeat("[", 100) + `"`, ""},
		{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), ""},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), "nested deeper than 64"},
		{"a million levels", strings.Repeat("[", 1_000_000), "nested deeper than 64"},
		{"empty", "", "not valid JSON"},
		{"text", "hello", "not valid JSON at byte 1"},
		{"two values", "1 2", "not valid JSON"},
		{"NaN", "NaN", "not valid JSON"},
		{"an unclosed string", `"abc`, "not valid JSON"},
		{"NUL", `["a\u0000b"]`, "NUL (\\u0000) at byte 3"},
		{"a raw NUL", "\"a\x00\"", "not valid JSON"},
		{"a lone high surrogate", `"\ud83d"`, "lone surrogate (\\ud83d)"},
		{"a high surrogate before a letter", `"\ud83d\u0041"`, "lone surrogate"},
		{"a lone low surrogate", `"\ude00"`, "lone surrogate (\\ude00)"},
		{"infinity", "[1e999]", "number 1e999 at byte 1 is not finite"},
		{"infinity without exponent", strings.Repeat("9", 400) + ".5", "not finite"},
		{"broken UTF-8", "\"\xff\"", "not valid UTF-8 at byte 1"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			err := Check([]byte(test.data))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestMapStringsChangesOnlyTheStringsThatDiffer(t *testing.T) {
	hide := func(text string) string { return strings.ReplaceAll(text, "it's \"x\"", "***") }
	got := string(MapStrings([]byte(`{"a":  1e5, "it's \"x\"": ["<b>", "-it's \"x\"-"], "ü": 12345678901234567890}`), hide))
	want := `{"a":  1e5, "***": ["<b>", "-***-"], "ü": 12345678901234567890}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzCheckNeverPanics(f *testing.F) {
	f.Add([]byte(`{"a": "\ud83d\u00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) == nil {
			MapStrings(data, strings.ToUpper)
		}
	})
}
