package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"citadel.dev/runtimes/internal/wire"
)

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func serving(t *testing.T, handle http.HandlerFunc) *gateway {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return &gateway{base: server.URL, client: server.Client(), session: "s"}
}

func TestABlobThatBreaksOffIsTakenUpWhereItWas(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	var offsets []int
	g := serving(t, func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		offsets = append(offsets, from)
		w.Write(content[from:min(from+200_000, len(content))])
	})
	var got bytes.Buffer
	wanted := &wire.Content{Digest: digestOf(content), Size: int64(len(content))}
	if err := g.fetch(context.Background(), wanted, &got); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if fmt.Sprint(offsets) != "[0 200000 400000]" {
		t.Errorf("asked from %v", offsets)
	}
}

func TestABlobIsRefusedForGoodOrIsNotWhatItsDigestSays(t *testing.T) {
	g := serving(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
	wanted := &wire.Content{Digest: digestOf([]byte("abc")), Size: 3}
	if err := g.fetch(context.Background(), wanted, io.Discard); !refusedWith(err, http.StatusForbidden) {
		t.Errorf("%v", err)
	}
	g = serving(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "abd") })
	if g.fetch(context.Background(), wanted, io.Discard) == nil {
		t.Error("other bytes are no error")
	}
}

// shimOf is a sandbox whose shim is this test.
func shimOf(t *testing.T) (*sandbox, *wire.Writer, *wire.Reader) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSandbox(listener)
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	frames := wire.NewWriter(conn)
	frames.Write(wire.KindHello, []byte(`{"version": "test"}`))
	<-s.ready
	return s, frames, wire.NewReader(conn, wire.MaxFrame)
}

func TestAnArtifactIsStreamedAndAskedForAgainUntilItIsStored(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 600_000)
	tries := 0
	g := serving(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.URL.Path != "/v1/attempts/load/1/artifacts/src" || len(data) != len(content) {
			t.Errorf("%s %s with %d bytes", r.Method, r.URL.Path, len(data))
		}
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		json.NewEncoder(w).Encode(wire.Content{Digest: digestOf(data), Size: int64(len(data))})
	})
	s, frames, answers := shimOf(t)
	p := &parcels{gateway: g}
	s.serve(nil, func(name string, source io.Reader) wire.Verdict {
		return p.keep(context.Background(), key{"load", 1}, name, source)
	})
	for _, again := range []bool{true, false} {
		frames.SendBlob(wire.ArtifactPrefix+"src", bytes.NewReader(content))
		kind, payload, err := answers.Next()
		var verdict wire.Verdict
		if err != nil || kind != wire.KindVerdict || json.Unmarshal(payload, &verdict) != nil {
			t.Fatalf("%q %s %v", kind, payload, err)
		}
		if verdict.Again != again || verdict.Name != "artifact/src" || verdict.Failure != nil {
			t.Errorf("%s", payload)
		}
	}
}

func TestAnArtifactThatIsTooLargeIsTheFailureOfItsAttempt(t *testing.T) {
	g := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		io.WriteString(w, `{"error": {"reason": "TooLarge", "message": "at most 5 bytes"}}`)
	})
	p := &parcels{gateway: g}
	verdict := p.keep(context.Background(), key{"load", 1}, "src", bytes.NewReader(nil))
	if verdict.Failure == nil || verdict.Failure.Reason != wire.ReasonArtifactTooLarge || verdict.Again {
		t.Errorf("%+v", verdict)
	}
}

func TestAProgramIsSentOnceUntilOthersHavePushedItOut(t *testing.T) {
	program := []byte("program")
	fetched := 0
	p := &parcels{gateway: serving(t, func(w http.ResponseWriter, r *http.Request) {
		fetched++
		w.Write(program)
	})}
	next := &assignment{}
	next.Program = &wire.Content{Digest: digestOf(program), Size: int64(len(program))}
	for range 2 {
		if p.wanted(next) {
			if err := p.give(context.Background(), next, wire.NewWriter(io.Discard)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fetched != 1 {
		t.Errorf("fetched %d times", fetched)
	}
	p.programs = append(p.programs[1:], "a", "b", "c", "d")
	if !p.wanted(next) {
		t.Error("it is believed to be there still")
	}
}
