// Package wire is what runner and shim say to each other over their one loopback connection: frames, and the JSON
// in them. It knows nothing of the gateway's HTTP, and never interprets a step's input or output.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Kind is the first byte of a frame's payload.
type Kind byte

// The kinds of frames. From the shim: Hello, Warm, Stdout, Stderr, Result. From the runner: Assign, Cancel, Verdict. From
// both: Blob.
const (
	KindHello   Kind = 'H'
	KindStdout  Kind = 'O'
	KindStderr  Kind = 'E'
	KindResult  Kind = 'R'
	KindAssign  Kind = 'A'
	KindCancel  Kind = 'C'
	KindBlob    Kind = 'B'
	KindVerdict Kind = 'V'
	KindWarm    Kind = 'W'
)

// MaxFrame bounds a frame in bytes. Inputs are at most a few MiB; a peer that says more is broken or hostile.
const MaxFrame = 32 << 20

// HeaderSize is what stands before a frame's payload, in bytes.
const HeaderSize = 5

// Writer writes frames; goroutines may share it.
type Writer struct {
	mu   sync.Mutex
	sink io.Writer
}

// NewWriter writes frames to sink.
func NewWriter(sink io.Writer) *Writer { return &Writer{sink: sink} }

// Write writes one frame.
func (w *Writer) Write(kind Kind, payload []byte) error {
	return w.WriteInPlace(kind, append(make([]byte, HeaderSize, HeaderSize+len(payload)), payload...))
}

// WriteInPlace writes one frame whose payload stands in buffer behind HeaderSize free bytes: no copy.
func (w *Writer) WriteInPlace(kind Kind, buffer []byte) error {
	binary.BigEndian.PutUint32(buffer, uint32(len(buffer)-HeaderSize))
	buffer[4] = byte(kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.sink.Write(buffer)
	return err
}

// Reader reads frames. The payload it returns is valid until the next call.
type Reader struct {
	source io.Reader
	max    int
	header [HeaderSize]byte
	buffer []byte
}

// NewReader reads frames of at most max bytes from source.
func NewReader(source io.Reader, max int) *Reader {
	return &Reader{source: source, max: max}
}

// Next returns the next frame; io.EOF when the peer closed between two frames.
func (r *Reader) Next() (Kind, []byte, error) {
	if _, err := io.ReadFull(r.source, r.header[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(r.header[:4]))
	if size > r.max {
		return 0, nil, fmt.Errorf("frame of %d bytes, at most %d are allowed", size, r.max)
	}
	if cap(r.buffer) < size {
		r.buffer = make([]byte, max(size, 64<<10))
	}
	payload := r.buffer[:size]
	if _, err := io.ReadFull(r.source, payload); err != nil {
		return 0, nil, fmt.Errorf("frame cut short: %w", err)
	}
	return Kind(r.header[4]), payload, nil
}
