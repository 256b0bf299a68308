package wire

import (
	"errors"
	"io"
)

// The names of blobs. To the shim: ProgramName, PackagesName (a tree, once), FilePrefix and the path where a tree is unpacked. From the shim:
// ArtifactPrefix and the artifact's name; the program that a build made is the artifact ProgramName.
const (
	ProgramName    = "program"
	PackagesName   = "packages"
	FilePrefix     = "file/"
	ArtifactPrefix = "artifact/"
)

// KeptPrograms is how many programs a shim keeps: those it was given last. The runner counts along, and sends none
// that is still there.
const KeptPrograms = 4

// BlobPiece is how many bytes of a blob one frame carries at most.
const BlobPiece = 256 << 10

const maxName = 255

// Verdict tells the shim what became of an artifact that it sent.
type Verdict struct {
	Name    string   `json:"name"`
	Again   bool     `json:"again,omitempty"`   // it did not arrive: send it from its start
	Failure *Failure `json:"failure,omitempty"` // it is refused for good
}

// BlobWriter sends one blob as frames. Close ends it.
type BlobWriter struct {
	frames *Writer
	head   []byte // room for the frame's header, then the name
	buffer []byte
	Size   int64 // bytes written so far
}

// Blob starts a blob of this name.
func (w *Writer) Blob(name string) (*BlobWriter, error) {
	if len(name) == 0 || len(name) > maxName {
		return nil, errors.New("the name of a blob has 1 to 255 bytes")
	}
	head := append(make([]byte, HeaderSize, HeaderSize+1+len(name)), byte(len(name)))
	head = append(head, name...)
	return &BlobWriter{frames: w, head: head, buffer: make([]byte, 0, len(head)+BlobPiece)}, nil
}

// Write sends data in pieces of at most BlobPiece.
func (b *BlobWriter) Write(data []byte) (int, error) {
	for sent := 0; sent < len(data); {
		piece := data[sent:min(len(data), sent+BlobPiece)]
		// The frame's header is written in place, so each frame begins with a fresh copy of it.
		b.buffer = append(append(b.buffer[:0], b.head...), piece...)
		if err := b.frames.WriteInPlace(KindBlob, b.buffer); err != nil {
			return sent, err
		}
		sent += len(piece)
		b.Size += int64(len(piece))
	}
	return len(data), nil
}

// Close sends the frame without bytes that ends the blob.
func (b *BlobWriter) Close() error {
	b.buffer = append(b.buffer[:0], b.head...)
	return b.frames.WriteInPlace(KindBlob, b.buffer)
}

// SendBlob sends everything of source as one blob.
func (w *Writer) SendBlob(name string, source io.Reader) (int64, error) {
	blob, err := w.Blob(name)
	if err != nil {
		return 0, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{blob}, source, make([]byte, BlobPiece)); err != nil {
		return blob.Size, err
	}
	return blob.Size, blob.Close()
}

// ParseBlob is the name and the piece that a blob's frame carries; a piece without bytes ends the blob.
func ParseBlob(payload []byte) (name string, piece []byte, err error) {
	if len(payload) < 2 || payload[0] == 0 || len(payload) < 1+int(payload[0]) {
		return "", nil, errors.New("a piece of a blob without its name")
	}
	size := int(payload[0])
	return string(payload[1 : 1+size]), payload[1+size:], nil
}
