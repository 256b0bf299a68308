package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// blobWithin is how long one request for a blob may take: 1 GiB at 2 MiB a second.
const blobWithin = 10 * time.Minute

// fetch streams a blob of the gateway to sink. What breaks off is taken up where it was; it fails for good when the
// gateway refuses, when the bytes are others than the digest says, or when sink does.
func (g *gateway) fetch(ctx context.Context, content *wire.Content, sink io.Writer) error {
	sum := sha256.New()
	var have int64
	for backoff := firstBackoff; have < content.Size; {
		count, status, err := g.fetchFrom(ctx, content, have, io.MultiWriter(sum, sink))
		have += count
		var broken *sinkError
		switch {
		case err == nil && have < content.Size:
			err = io.ErrUnexpectedEOF
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &broken), final(status):
			return err
		}
		logf("blob %s at %d: %v; retrying", content.Digest, have, err)
		if !sleep(ctx, backoff) {
			return ctx.Err()
		}
		backoff = min(2*backoff, lastBackoff)
		if count > 0 {
			backoff = firstBackoff
		}
	}
	if found := "sha256:" + hex.EncodeToString(sum.Sum(nil)); found != content.Digest {
		return fmt.Errorf("found bytes of digest %s, expected %s", found, content.Digest)
	}
	return nil
}

// sinkError: whoever takes the bytes fails, not the gateway.
type sinkError struct{ error }

type sinkWriter struct{ io.Writer }

func (s sinkWriter) Write(data []byte) (int, error) {
	n, err := s.Writer.Write(data)
	if err != nil {
		err = &sinkError{err}
	}
	return n, err
}

func (g *gateway) fetchFrom(ctx context.Context, content *wire.Content, from int64, sink io.Writer) (int64, int, error) {
	ctx, cancel := context.WithTimeout(ctx, blobWithin)
	defer cancel()
	path := fmt.Sprintf("%s/v1/blobs/%s?offset=%d", g.base, url.PathEscape(content.Digest), from)
	request, err := g.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, 0, err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		return 0, response.StatusCode, refusalOf(response.StatusCode, data)
	}
	body := io.LimitReader(response.Body, content.Size-from)
	count, err := io.CopyBuffer(sinkWriter{sink}, struct{ io.Reader }{body}, make([]byte, wire.BlobPiece))
	return count, response.StatusCode, err
}

// store streams an artifact of an attempt to the gateway, once: the source cannot be read again. The gateway says
// what it has got, which is compared with what was sent.
func (g *gateway) store(ctx context.Context, of key, name string, source io.Reader) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, blobWithin)
	defer cancel()
	sum := sha256.New()
	path := g.base + of.path("artifacts/"+url.PathEscape(name))
	request, err := g.request(ctx, http.MethodPut, path, io.TeeReader(source, sum))
	if err != nil {
		return 0, err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, refusalOf(response.StatusCode, data)
	}
	var stored wire.Content
	if err := json.Unmarshal(data, &stored); err != nil {
		return 0, err
	}
	if sent := "sha256:" + hex.EncodeToString(sum.Sum(nil)); stored.Digest != sent {
		return 0, fmt.Errorf("the gateway stored %s, sent was %s", stored.Digest, sent)
	}
	return response.StatusCode, nil
}

// parcels are the blobs of a session's attempts: what an assignment needs, and what an attempt leaves.
type parcels struct {
	gateway  *gateway
	packages *wire.Content // that the shim does not have yet
	broken   error         // why it has only a part of them
	programs []string      // digests that the shim still has, oldest first
}

// wanted tells whether anything must be sent ahead of an assignment.
func (p *parcels) wanted(next *assignment) bool {
	program := next.Program != nil && !slices.Contains(p.programs, next.Program.Digest)
	return p.packages != nil || program || next.Artifacts != nil && len(next.Artifacts.In) > 0
}

// give sends the shim what the assignment needs.
func (p *parcels) give(ctx context.Context, next *assignment, frames *wire.Writer) error {
	if err := p.givePackages(ctx, frames); err != nil {
		return err
	}
	if next.Program != nil && !slices.Contains(p.programs, next.Program.Digest) {
		if err := p.pass(ctx, wire.ProgramName, next.Program, frames); err != nil {
			return fmt.Errorf("the program of the step: %w", err)
		}
		p.programs = append(p.programs, next.Program.Digest)
		if len(p.programs) > wire.KeptPrograms {
			p.programs = p.programs[1:]
		}
	}
	if next.Artifacts == nil {
		return nil
	}
	for _, taken := range next.Artifacts.In {
		if err := p.pass(ctx, wire.FilePrefix+taken.Path, &taken.Content, frames); err != nil {
			return fmt.Errorf("the artifact for %s: %w", taken.Path, err)
		}
	}
	return nil
}

// givePackages sends the shim the packages of the Runtime, once.
func (p *parcels) givePackages(ctx context.Context, frames *wire.Writer) error {
	if p.packages == nil || p.broken != nil {
		return p.broken
	}
	if err := p.pass(ctx, wire.PackagesName, p.packages, frames); err != nil {
		p.broken = fmt.Errorf("the packages of the Runtime: %w", err)
		return p.broken
	}
	p.packages = nil
	return nil
}

func (p *parcels) pass(ctx context.Context, name string, content *wire.Content, frames *wire.Writer) error {
	blob, err := frames.Blob(name)
	if err != nil {
		return err
	}
	if err := p.gateway.fetch(ctx, content, blob); err != nil {
		return err
	}
	return blob.Close()
}

// keep stores what the attempt leaves under a name, and says what the shim is to make of it.
func (p *parcels) keep(ctx context.Context, of key, name string, source io.Reader) wire.Verdict {
	verdict := wire.Verdict{Name: wire.ArtifactPrefix + name}
	status, err := p.gateway.store(ctx, of, name, source)
	var refused *refusal
	switch {
	case err == nil:
	case status == http.StatusRequestEntityTooLarge && errors.As(err, &refused):
		verdict.Failure = wire.Failf(wire.ReasonArtifactTooLarge, "artifact %s: %s", name, refused.message)
	case final(status) && errors.As(err, &refused):
		verdict.Failure = wire.Failf(wire.ReasonError, "artifact %s was refused: %s", name, refused.message)
	default:
		logf("%s: artifact %s: %v; again", of, name, err)
		sleep(ctx, firstBackoff)
		verdict.Again = true
	}
	return verdict
}
