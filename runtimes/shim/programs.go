package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// programs are the compiled programs that came for this sandbox: files in memory that nobody can change any more,
// each under the digest of what it holds. It keeps the last wire.KeptPrograms of them.
type programs struct {
	mu     sync.Mutex
	kept   []program // oldest first
	coming *os.File
	sum    hash.Hash
}

type program struct {
	digest string
	file   *os.File
}

// find is the program of a digest. It stays open until wire.KeptPrograms others have come.
func (p *programs) find(content *wire.Content) (*os.File, *wire.Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, found := range p.kept {
		if content != nil && found.digest == content.Digest {
			return found.file, nil
		}
	}
	return nil, wire.Failf(wire.ReasonError, "the program of the step did not come to its sandbox")
}

// take takes a piece of a program; one without bytes ends it.
func (p *programs) take(piece []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(piece) == 0 {
		return p.seal()
	}
	if p.coming == nil {
		file, err := programFile()
		if err != nil {
			return fmt.Errorf("a file in memory for the program: %w", err)
		}
		p.coming, p.sum = file, sha256.New()
	}
	p.sum.Write(piece)
	if _, err := p.coming.Write(piece); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	return nil
}

// programFile is a file in memory that may be executed and sealed.
func programFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // a kernel before 6.3, or gVisor: every such file may be executed
		fd, err = unix.MemfdCreate("program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "program"), nil
}

// seal makes what came unchangeable, and keeps it.
func (p *programs) seal() error {
	file := p.coming
	if file == nil {
		return fmt.Errorf("a program without bytes")
	}
	p.coming = nil
	if err := seal(file); err != nil {
		file.Close()
		return fmt.Errorf("sealing the program: %w", err)
	}
	p.kept = append(p.kept, program{"sha256:" + hex.EncodeToString(p.sum.Sum(nil)), file})
	if len(p.kept) > wire.KeptPrograms {
		p.kept[0].file.Close()
		p.kept = p.kept[1:]
	}
	return nil
}
