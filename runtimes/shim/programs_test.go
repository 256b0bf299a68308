package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"citadel.dev/runtimes/internal/wire"
)

func contentOf(text string) *wire.Content {
	sum := sha256.Sum256([]byte(text))
	return &wire.Content{Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(text))}
}

func TestAProgramIsFoundByItsDigestAndCannotBeChanged(t *testing.T) {
	blobs := &incoming{}
	for _, piece := range []string{"he", "llo", ""} {
		if err := blobs.take([]byte("\x07program" + piece)); err != nil {
			t.Fatal(err)
		}
	}
	file, failure := blobs.programs.find(contentOf("hello"))
	if failure != nil {
		t.Fatal(failure.Message)
	}
	if data, err := io.ReadAll(io.NewSectionReader(file, 0, 100)); string(data) != "hello" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a sealed program was written to")
	}
	if err := file.Truncate(1); err == nil {
		t.Error("a sealed program was cut")
	}
	if _, failure := blobs.programs.find(contentOf("other")); failure == nil {
		t.Error("a program was found that never came")
	}
}

func TestTheLastProgramsAreKept(t *testing.T) {
	var kept programs
	for number := range wire.KeptPrograms + 1 {
		kept.take(fmt.Append(nil, number))
		if err := kept.take(nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, failure := kept.find(contentOf("0")); failure == nil {
		t.Error("the oldest is still there")
	}
	if _, failure := kept.find(contentOf("1")); failure != nil {
		t.Error(failure.Message)
	}
}

func TestWhatIsNotABlobOfOursIsAnError(t *testing.T) {
	if (&incoming{}).take([]byte("\x05other!")) == nil {
		t.Error("no error")
	}
	blobs := &incoming{}
	if err := blobs.take([]byte("\x07program")); err != nil || blobs.failure() == nil {
		t.Errorf("an empty program is the failure of its attempt: %v, %v", err, blobs.failure())
	}
}
