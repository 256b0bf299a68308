// Package jsontext looks at JSON as text: whether an output may enter the journal, and the strings in it. It never
// builds a tree, so numbers keep every digit and a large output costs one pass.
package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may be nested.
const MaxDepth = 64

// Check tells why data is not JSON that the journal takes: bad grammar, invalid UTF-8, NUL, lone surrogates, numbers
// that are not finite, nesting over MaxDepth. nil when it is.
func Check(data []byte) error {
	// Depth first: encoding/json recurses, and its own limit is far higher.
	if err := checkDepth(data); err != nil {
		return err
	}
	if !json.Valid(data) {
		var discard json.RawMessage
		err := json.Unmarshal(data, &discard)
		if syntax, ok := err.(*json.SyntaxError); ok {
			return fmt.Errorf("not valid JSON at byte %d: %s", syntax.Offset, syntax)
		}
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("not valid UTF-8 at byte %d", invalidOffset(data))
	}
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case c == '"':
			end := StringEnd(data, i)
			if err := checkString(data[i:end], i); err != nil {
				return err
			}
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(data) && isNumber(data[end]) {
				end++
			}
			if err := checkNumber(data[i:end], i); err != nil {
				return err
			}
			i = end
		default:
			i++
		}
	}
	return nil
}

func checkDepth(data []byte) error {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = StringEnd(data, i) - 1
		case '[', '{':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d levels at byte %d", MaxDepth, i)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}

// StringEnd is the offset behind the closing quote of the string that starts at start; len(data) if it never closes.
func StringEnd(data []byte, start int) int {
	for i := start + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// checkString looks at the escapes of one valid JSON string.
func checkString(text []byte, offset int) error {
	for i := 1; i < len(text)-1; i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if text[i] != 'u' {
			continue
		}
		unit := hex(text[i+1 : i+5])
		switch {
		case unit == 0:
			return fmt.Errorf("a string holds the character NUL (\\u0000) at byte %d", offset+i-1)
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return fmt.Errorf("a string holds a lone surrogate (\\u%04x) at byte %d", unit, offset+i-1)
		case unit >= 0xD800 && unit <= 0xDBFF:
			low := 0
			if i+11 <= len(text) && text[i+5] == '\\' && text[i+6] == 'u' {
				low = hex(text[i+7 : i+11])
			}
			if low < 0xDC00 || low > 0xDFFF {
				return fmt.Errorf("a string holds a lone surrogate (\\u%04x) at byte %d", unit, offset+i-1)
			}
			i += 6
		}
		i += 4
	}
	return nil
}

func checkNumber(text []byte, offset int) error {
	// Only an exponent or more than 308 digits before a point can leave the range of a double; an integer of any
	// length is exact.
	exponent := bytes.ContainsAny(text, "eE")
	if !exponent && (len(text) <= 308 || !bytes.Contains(text, []byte("."))) {
		return nil
	}
	if _, err := strconv.ParseFloat(string(text), 64); err != nil {
		shown := text
		if len(shown) > 40 {
			shown = append(append([]byte{}, shown[:40]...), "…"...)
		}
		return fmt.Errorf("the number %s at byte %d is not finite", shown, offset)
	}
	return nil
}

func isNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

func hex(digits []byte) int {
	value := 0
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			value = value<<4 | int(c-'a'+10)
		case c >= 'A' && c <= 'F':
			value = value<<4 | int(c-'A'+10)
		}
	}
	return value
}

func invalidOffset(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// MapStrings is data with every string (keys too) that change alters replaced by the altered one; everything else,
// numbers and spacing included, stays byte for byte. data must be valid JSON.
func MapStrings(data []byte, change func(string) string) []byte {
	var out []byte
	copied := 0
	for i := 0; i < len(data); i++ {
		if data[i] != '"' {
			continue
		}
		end := StringEnd(data, i)
		var text string
		if json.Unmarshal(data[i:end], &text) == nil {
			if changed := change(text); changed != text {
				encoded, _ := json.Marshal(changed)
				out = append(append(out, data[copied:i]...), encoded...)
				copied = end
			}
		}
		i = end - 1
	}
	if out == nil {
		return data
	}
	return append(out, data[copied:]...)
}
