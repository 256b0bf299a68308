// Package logs turns what an attempt prints into numbered chunks and ships them to the gateway, in order, beside the
// results. It never blocks the process that prints, and never holds more than one and a half times
// the limit of an attempt's log.
package logs

import (
	"bytes"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"citadel.dev/runtimes/internal/mask"
)

// Limits of logs, in bytes; the gateway names them at registration.
type Limits struct {
	Chunk   int
	Attempt int
}

// The streams of a chunk.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	System = "system" // the runner's own marks
)

const (
	// bytesPerChunk is what a chunk counts at least: output in tiny pieces may not make the journal's rows endless.
	bytesPerChunk = 64
	tailBytes     = 2048
)

// Log is the log of one attempt.
type Log struct {
	step    string
	attempt int

	mu      *sync.Mutex // the shipper's
	wake    func()
	limits  Limits
	streams map[string]*stream
	pending []*chunk // not yet stored by the gateway
	waiting int      // bytes in pending
	sent    int      // leading chunks of pending that a request under way carries
	next    int      // number of the next chunk
	bytes   int      // of text, ever
	cut     bool
	closed  bool
	done    bool // the gateway knows the end
	tail    []byte
}

type stream struct {
	masking *mask.Stream
	partial []byte // an unfinished UTF-8 sequence
}

type chunk struct {
	n      int
	stream string
	at     time.Time
	text   []byte
}

// Write takes what the attempt printed on a stream. It never waits.
func (l *Log) Write(name string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	from := l.streams[name]
	l.append(name, from.text(from.masking.Write(data), false))
}

// Mark adds a line of the runner's own.
func (l *Log) Mark(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(System, []byte(text))
}

// Close ends the log. It returns the number of its chunks and the last 2 kB that were printed.
func (l *Log) Close() (chunks int, tail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range []string{Stdout, Stderr} {
		from := l.streams[name]
		l.append(name, from.text(from.masking.Flush(), true))
	}
	l.closed = true
	l.done = l.next == 0
	l.wake()
	return l.next, lastLines(l.tail)
}

func (l *Log) append(name string, text []byte) {
	if len(text) == 0 {
		return
	}
	if l.tail = append(l.tail, text...); len(l.tail) > 16*tailBytes {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-tailBytes:]...)
	}
	if l.cut {
		return
	}
	if room := l.limits.Attempt - l.bytes; len(text) > room || l.next >= l.limits.Attempt/bytesPerChunk {
		l.cut = true
		if l.next < l.limits.Attempt/bytesPerChunk {
			l.add(name, text[:runeBoundary(text, room)])
		}
		l.add(System, fmt.Appendf(nil, "the log is cut here: an attempt keeps at most %d bytes in %d pieces\n",
			l.limits.Attempt, l.limits.Attempt/bytesPerChunk))
		return
	}
	l.add(name, text)
}

// add puts text into the last chunk, if that still waits and has room, and into new ones.
func (l *Log) add(name string, text []byte) {
	for len(text) > 0 {
		if last := len(l.pending) - 1; last >= l.sent && l.pending[last].stream == name {
			size := runeBoundary(text, l.limits.Chunk-len(l.pending[last].text))
			l.pending[last].text = append(l.pending[last].text, text[:size]...)
			l.bytes += size
			l.waiting += size
			if text = text[size:]; len(text) == 0 {
				break
			}
		}
		l.pending = append(l.pending, &chunk{n: l.next, stream: name, at: time.Now()})
		l.next++
		l.wake() // not for text that joins a waiting chunk: its delay already runs
	}
}

// batch is what the next request carries, which from now on stays as it is; call it with the lock held.
func (l *Log) batch() Batch {
	batch := Batch{Step: l.step, Attempt: l.attempt, Chunks: []Chunk{}}
	size := 0
	for _, next := range l.pending {
		size += len(next.text)
		if len(batch.Chunks) > 0 && size > requestBytes || len(batch.Chunks) == requestChunks {
			break
		}
		batch.Chunks = append(batch.Chunks, Chunk{next.n, next.stream, timestamp(next.at), string(next.text)})
	}
	l.sent = len(batch.Chunks)
	batch.Last = l.closed && l.sent == len(l.pending)
	return batch
}

// text is data as UTF-8 without NUL; a sequence that data cuts is kept for the next call.
func (s *stream) text(data []byte, last bool) []byte {
	if len(s.partial) > 0 {
		data = append(s.partial, data...)
		s.partial = nil
	}
	if !last {
		for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
			if start := len(data) - back; utf8.RuneStart(data[start]) {
				if !utf8.FullRune(data[start:]) {
					s.partial = append([]byte(nil), data[start:]...)
					data = data[:start]
				}
				break
			}
		}
	}
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	if bytes.IndexByte(data, 0) >= 0 {
		data = bytes.ReplaceAll(data, []byte{0}, []byte("\uFFFD"))
	}
	return data
}

// runeBoundary is the largest size of at most limit bytes that cuts no character in two.
func runeBoundary(text []byte, limit int) int {
	if limit >= len(text) {
		return len(text)
	}
	size := max(limit, 0)
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return size
}

func lastLines(text []byte) string {
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
		for len(text) > 0 && !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
		if newline := bytes.IndexByte(text, '\n'); newline >= 0 && newline < len(text)-1 {
			text = text[newline+1:]
		}
	}
	return string(bytes.TrimRight(text, "\n"))
}
