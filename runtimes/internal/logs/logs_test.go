package logs

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"citadel.dev/runtimes/internal/mask"
)

// gateway is a double that stores what it gets, and can be away.
type gateway struct {
	mu       sync.Mutex
	away     chan struct{} // requests wait until it closes
	requests []Batch
}

func (g *gateway) send(ctx context.Context, batch Batch) (int, error) {
	if g.away != nil {
		select {
		case <-g.away:
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, batch)
	if len(batch.Chunks) == 0 {
		return -1, nil
	}
	return batch.Chunks[len(batch.Chunks)-1].N, nil
}

func (g *gateway) text(stream string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all strings.Builder
	n := 0
	for _, request := range g.requests {
		for _, chunk := range request.Chunks {
			if chunk.N != n {
				return "chunks out of order"
			}
			n++
			if chunk.Stream == stream {
				all.WriteString(chunk.Text)
			}
		}
	}
	return all.String()
}

func start(t *testing.T, g *gateway, limits Limits) *Shipper {
	t.Helper()
	shipper := NewShipper(limits, g.send)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { shipper.Run(ctx); close(stopped) }()
	t.Cleanup(func() { cancel(); <-stopped })
	return shipper
}

func none(t *testing.T, values ...json.RawMessage) *mask.Secrets {
	t.Helper()
	secrets, err := mask.NewSecrets(values)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func flush(t *testing.T, shipper *Shipper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	shipper.Flush(ctx)
	if ctx.Err() != nil {
		t.Fatal("the logs were not sent")
	}
}

var usual = Limits{Chunk: 64 << 10, Attempt: 10 << 20}

func TestPrintsAreBatchedInOrder(t *testing.T) {
	g := &gateway{}
	shipper := start(t, g, usual)
	log := shipper.Open("a", 1, none(t))
	for range 1000 {
		log.Write(Stdout, []byte("line\n"))
	}
	log.Write(Stderr, []byte("oops\n"))
	chunks, tail := log.Close()
	flush(t, shipper)
	if g.text(Stdout) != strings.Repeat("line\n", 1000) || g.text(Stderr) != "oops\n" {
		t.Error("text differs")
	}
	if len(g.requests) > 3 || chunks > 4 {
		t.Errorf("%d requests, %d chunks", len(g.requests), chunks)
	}
	if !g.requests[len(g.requests)-1].Last {
		t.Error("the end is not marked")
	}
	if !strings.HasSuffix(tail, "line\noops") || len(tail) > 2048 || !strings.HasPrefix(tail, "line") {
		t.Errorf("tail %q", tail)
	}
}

func TestAnAttemptThatPrintsNothingSendsNothing(t *testing.T) {
	g := &gateway{}
	shipper := start(t, g, usual)
	if chunks, _ := shipper.Open("a", 1, none(t)).Close(); chunks != 0 {
		t.Errorf("%d chunks", chunks)
	}
	flush(t, shipper)
	if len(g.requests) != 0 {
		t.Errorf("requests: %v", g.requests)
	}
}

func TestALogOverTheLimitIsCutOnceAndVisibly(t *testing.T) {
	g := &gateway{away: make(chan struct{})}
	shipper := start(t, g, usual)
	log := shipper.Open("a", 1, none(t))
	line := []byte(strings.Repeat("ü", 511) + "\n")
	for range 50 << 10 { // 50 MB, while the gateway is away: Write never waits
		log.Write(Stdout, line)
	}
	log.Write(Stdout, []byte("the end\n"))
	_, tail := log.Close()
	close(g.away)
	flush(t, shipper)
	if got := len(g.text(Stdout)); got > usual.Attempt || got < usual.Attempt-utf8.UTFMax {
		t.Errorf("%d bytes kept", got)
	}
	if got := g.text(System); strings.Count(got, "the log is cut here") != 1 {
		t.Errorf("mark: %q", got)
	}
	if !strings.HasSuffix(tail, "the end") {
		t.Errorf("tail %q", tail)
	}
	for _, request := range g.requests {
		for _, chunk := range request.Chunks {
			if len(chunk.Text) > usual.Chunk || !utf8.ValidString(chunk.Text) {
				t.Fatalf("chunk %d: %d bytes", chunk.N, len(chunk.Text))
			}
		}
	}
}

func TestTinyPiecesAreBounded(t *testing.T) {
	g := &gateway{away: make(chan struct{})}
	shipper := start(t, g, Limits{Chunk: 1024, Attempt: 64 << 10})
	log := shipper.Open("a", 1, none(t))
	for range 5000 {
		log.Write(Stdout, []byte("a"))
		log.Write(Stderr, []byte("b"))
	}
	chunks, _ := log.Close()
	close(g.away)
	flush(t, shipper)
	if chunks != 64<<10/bytesPerChunk+1 || g.text(System) == "" {
		t.Errorf("%d chunks, mark %q", chunks, g.text(System))
	}
}

func TestTextIsUTF8WithoutNULWhereverItIsCut(t *testing.T) {
	whole := "grün 😀 \x00 \xff end"
	want := "grün 😀 \uFFFD \uFFFD end"
	for size := 1; size < 6; size++ {
		g := &gateway{}
		shipper := start(t, g, usual)
		log := shipper.Open("a", 1, none(t))
		for rest := whole; rest != ""; {
			n := min(size, len(rest))
			log.Write(Stdout, []byte(rest[:n]))
			rest = rest[n:]
		}
		log.Close()
		flush(t, shipper)
		if got := g.text(Stdout); got != want {
			t.Errorf("pieces of %d: %q, want %q", size, got, want)
		}
	}
}

func TestSecretsAreHiddenAcrossPiecesAndInTheTail(t *testing.T) {
	g := &gateway{}
	shipper := start(t, g, usual)
	log := shipper.Open("a", 1, none(t, []byte(`"hunter2"`)))
	log.Write(Stdout, []byte("pass hun"))
	log.Write(Stderr, []byte("between"))
	log.Write(Stdout, []byte("ter2 done hun"))
	_, tail := log.Close()
	flush(t, shipper)
	if got := g.text(Stdout); got != "pass *** done hun" {
		t.Errorf("stdout %q", got)
	}
	if strings.Contains(tail, "hunter2") || !strings.Contains(tail, "***") {
		t.Errorf("tail %q", tail)
	}
}

func TestTheNextAttemptWaitsForAFullBacklog(t *testing.T) {
	g := &gateway{away: make(chan struct{})}
	shipper := start(t, g, usual)
	log := shipper.Open("a", 1, none(t))
	log.Write(Stdout, make([]byte, 4<<20))
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	shipper.Below(short, 1<<20)
	if short.Err() == nil {
		t.Error("did not wait")
	}
	close(g.away)
	long, cancelLong := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelLong()
	shipper.Below(long, 1<<20)
	if long.Err() != nil {
		t.Error("waited for ever")
	}
}
