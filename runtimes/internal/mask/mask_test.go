package mask

import (
	"encoding/json"
	"math/rand"
	"strings"
	"testing"
)

func secretsOf(t *testing.T, values ...string) *Secrets {
	t.Helper()
	var raw []json.RawMessage
	for _, value := range values {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, encoded)
	}
	secrets, err := NewSecrets(raw)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func TestSecretsAreHidden(t *testing.T) {
	cases := []struct {
		name    string
		secrets []string
		text    string
		want    string
	}{
		{"nothing to hide", []string{"hunter2"}, "a plain line", "a plain line"},
		{"inside a line", []string{"hunter2"}, "password=hunter2!", "password=***!"},
		{"several times", []string{"hunter2"}, "hunter2 hunter2", "*** ***"},
		{"a value that begins another", []string{"abcd", "abcdefgh"}, "abcdefgh abcdx", "*** ***x"},
		{"overlapping values leave no rest", []string{"abcd", "cdef"}, "xabcdefx", "x***x"},
		{"a value inside a longer one that is cut short", []string{"abcd", "xabcdy"}, "xabcd.", "x***."},
		{"a value inside a longer one at the end", []string{"abcd", "xabcdy"}, "xabcd", "x***"},
		{"a beginning alone is no secret", []string{"hunter2"}, "hunter", "hunter"},
		{"the lines of a key", []string{"-----BEGIN-----\nMIIEvQIBADAN\nabc\n"}, "got MIIEvQIBADAN", "got ***"},
		{"a trailing newline does not uncover", []string{"hunter2\n"}, "hunter2 x", "*** x"},
		{"as JSON writes it", []string{`pass"word\1`}, `{"p": "pass\"word\\1"}`, `{"p": "***"}`},
		{"short values only as a whole", []string{"ab"}, "abc ab", "abc ab"},
		{"short values as a whole", []string{"ab"}, "ab", "***"},
		{"an empty value hides nothing", []string{""}, "", ""},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			if got := secretsOf(t, test.secrets...).Text(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// However a stream is cut, no whole secret leaves, and what is no secret leaves unchanged.
func TestAnyCutOfAStreamGivesTheSameText(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 3000 {
		alphabet := "ab\nc"
		var values []string
		for range 1 + random.Intn(3) {
			values = append(values, word(random, alphabet, 4+random.Intn(5)))
		}
		secrets := secretsOf(t, values...)
		text := word(random, alphabet, random.Intn(60))
		whole := secrets.Stream()
		want := string(whole.Write([]byte(text))) + string(whole.Flush())
		stream := secrets.Stream()
		var got strings.Builder
		for rest := text; rest != ""; {
			size := 1 + random.Intn(len(rest))
			got.Write(stream.Write([]byte(rest[:size])))
			rest = rest[size:]
		}
		got.Write(stream.Flush())
		if got.String() != want {
			t.Fatalf("secrets %q, text %q: cut %q, whole %q", values, text, got.String(), want)
		}
		for _, value := range values {
			if strings.Contains(want, value) {
				t.Fatalf("secrets %q, text %q: %q is visible", values, text, want)
			}
		}
	}
}

func TestLiveOutputIsHeldBackOnlyWhileItMayBecomeASecret(t *testing.T) {
	stream := secretsOf(t, "hunter2").Stream()
	if got := string(stream.Write([]byte("working..."))); got != "working..." {
		t.Errorf("held back %q", got)
	}
	if got := string(stream.Write([]byte("hunt"))); got != "" {
		t.Errorf("the beginning of a secret left: %q", got)
	}
	if got := string(stream.Write([]byte("ing\n"))); got != "hunting\n" {
		t.Errorf("got %q", got)
	}
	if got := string(stream.Write([]byte("hunter2"))); got != "***" {
		t.Errorf("a complete secret waits: %q", got)
	}
}

func TestSecretsTooLargeAreRefused(t *testing.T) {
	value, _ := json.Marshal(strings.Repeat("x", MaxSecretBytes+1))
	if _, err := NewSecrets([]json.RawMessage{value}); err == nil {
		t.Error("no error")
	}
}

func TestStringsAndNumbersInsideAValueAreHidden(t *testing.T) {
	secrets, err := NewSecrets([]json.RawMessage{[]byte(`{"user": "gudrun", "pin": 987654, "n": [true, null]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := secrets.Text("gudrun 987654 true"); got != "*** *** true" {
		t.Errorf("got %q", got)
	}
}

func word(random *rand.Rand, alphabet string, length int) string {
	letters := make([]byte, length)
	for i := range letters {
		letters[i] = alphabet[random.Intn(len(alphabet))]
	}
	return string(letters)
}

func BenchmarkStream(b *testing.B) {
	secrets, _ := NewSecrets([]json.RawMessage{[]byte(`"hunter2-is-a-long-secret"`), []byte(`"another-one"`)})
	data := []byte(strings.Repeat("2026-01-31 12:00:00 INFO something happened in the house\n", 1000))
	b.SetBytes(int64(len(data)))
	stream := secrets.Stream()
	for b.Loop() {
		stream.Write(data)
	}
}
