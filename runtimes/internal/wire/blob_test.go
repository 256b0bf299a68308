package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestABlobArrivesInPiecesUnderItsName(t *testing.T) {
	var line bytes.Buffer
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	size, err := NewWriter(&line).SendBlob("file//work/in", bytes.NewReader(sent))
	if err != nil || size != int64(len(sent)) {
		t.Fatalf("%d bytes, %v", size, err)
	}
	var got []byte
	for reader, ended := NewReader(&line, MaxFrame), false; !ended; {
		kind, payload, err := reader.Next()
		if err != nil || kind != KindBlob {
			t.Fatalf("%q, %v", kind, err)
		}
		name, piece, err := ParseBlob(payload)
		if err != nil || name != "file//work/in" || len(piece) > BlobPiece {
			t.Fatalf("%q, %d bytes, %v", name, len(piece), err)
		}
		got, ended = append(got, piece...), len(piece) == 0
	}
	if !bytes.Equal(got, sent) || line.Len() != 0 {
		t.Errorf("%d bytes came, %d are left", len(got), line.Len())
	}
}

func TestABlobHasAName(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", 256)} {
		if _, err := NewWriter(io.Discard).Blob(name); err == nil {
			t.Errorf("a name of %d bytes is no error", len(name))
		}
	}
	for _, payload := range []string{"", "\x00", "\x00x", "\x05abc"} {
		if _, _, err := ParseBlob([]byte(payload)); err == nil {
			t.Errorf("%q is no error", payload)
		}
	}
}
