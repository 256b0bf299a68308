package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFramesArriveAsTheyWereSent(t *testing.T) {
	var line bytes.Buffer
	writer := NewWriter(&line)
	writer.Write(KindStdout, []byte("hello"))
	writer.Write(KindResult, nil)
	writer.Write(KindStderr, bytes.Repeat([]byte("x"), 100_000))
	reader := NewReader(&line, MaxFrame)
	for _, want := range []struct {
		kind Kind
		size int
	}{{KindStdout, 5}, {KindResult, 0}, {KindStderr, 100_000}} {
		kind, payload, err := reader.Next()
		if err != nil || kind != want.kind || len(payload) != want.size {
			t.Fatalf("got %q, %d bytes, %v", kind, len(payload), err)
		}
	}
	if _, _, err := reader.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesTooLargeOrCutShortAreErrors(t *testing.T) {
	if _, _, err := NewReader(strings.NewReader("\xff\xff\xff\xffO"), 100).Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := NewReader(strings.NewReader("\x00\x00\x00\x09Oabc"), 100).Next(); err == nil || err == io.EOF {
		t.Errorf("cut short: %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	for _, outcome := range []Outcome{Succeeded, Failed} {
		last := outcome.Last()
		if !outcome.Valid() || !last.Valid() || outcome.IsLast() || !last.IsLast() || last.IsSuccess() != outcome.IsSuccess() {
			t.Errorf("%q", outcome)
		}
	}
	if Outcome('x').Valid() || !Succeeded.IsSuccess() || Failed.IsSuccess() {
		t.Error("wrong")
	}
}

func TestFailuresAreBounded(t *testing.T) {
	lines := make([]string, 1000)
	lines[999] = strings.Repeat("z", 5000)
	failure := (&Failure{Message: strings.Repeat("ü", 5000) + "\x00", Traceback: lines}).Bounded()
	if len(failure.Message) > maxMessageBytes || !utf8.ValidString(failure.Message) || len(failure.Traceback) != maxTracebackLines {
		t.Errorf("%d bytes, %d lines", len(failure.Message), len(failure.Traceback))
	}
	if last := failure.Traceback[maxTracebackLines-1]; len(last) > maxTracebackBytes || !strings.HasSuffix(last, "…") {
		t.Errorf("last line %q", last)
	}
}

func TestSecondsStaySane(t *testing.T) {
	for value, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, -1: 0, 1e300: 10 * 365 * 24 * time.Hour} {
		if got := Seconds(value); got != want {
			t.Errorf("%g: %v", value, got)
		}
	}
}
