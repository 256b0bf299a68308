package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// maxProgram is how many bytes a program may have.
const maxProgram = 64 << 20

// builder is an interpreter of a language that is compiled: it takes the action `build`, too.
type builder interface {
	// made is the file that the last build wrote its program to.
	made() *os.File
}

// builds tells whether this sandbox can compile.
func (s *shim) builds() bool {
	_, able := s.harness.(builder)
	return able
}

// deliver sends the program that a build made: its digest and size are the output.
func (s *shim) deliver(a *wire.Assignment) ([]byte, *wire.Failure, error) {
	file := s.harness.(builder).made()
	// Nobody of the build is left; sealed, what is hashed is what is sent.
	if err := seal(file); err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	size := info.Size()
	if size == 0 || size > maxProgram {
		return nil, wire.Failf(wire.ReasonInvalidCode, "step %s: its program has %d bytes, expected 1 to %d", a.Step, size, maxProgram), nil
	}
	sum := sha256.New()
	content := func() io.Reader { return io.NewSectionReader(file, 0, size) }
	if _, err := io.Copy(sum, content()); err != nil {
		return nil, nil, err
	}
	failure, err := s.send(a, wire.ProgramName, func(sink io.Writer) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{sink}, content(), make([]byte, wire.BlobPiece))
		return err
	})
	if err != nil || failure != nil {
		return nil, failure, err
	}
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	output, err := wire.Marshal(map[string]any{"program": digest, "size": size})
	return output, nil, err
}

// seal makes a file in memory unchangeable.
func seal(file *os.File) error {
	if file == nil {
		return errors.New("nothing was built")
	}
	_, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return err
}
