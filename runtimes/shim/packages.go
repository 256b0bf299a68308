package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/bundle"
)

// packagesName is the directory of the Runtime's packages beside work and tmp, and packagesVariable tells where it is.
const (
	packagesName     = "packages"
	packagesVariable = "CITADEL_PACKAGES"
)

// packages are those of the Runtime: they come once, before any step, and stay for all of them. User code has the uid
// of the shim, so it could change them for the next step: what was touched is found out, and ends the sandbox.
type packages struct {
	path    string // "" where there is no place for them
	pipe    *io.PipeWriter
	unpacks chan error
	stamp   *bundle.Stamp // nil until they are there
}

// take takes a piece of their tree; one without bytes ends it.
func (p *packages) take(piece []byte) error {
	if p.pipe == nil {
		if err := p.begin(); err != nil {
			return fmt.Errorf("the packages of the Runtime: %w", err)
		}
	}
	if len(piece) > 0 {
		if _, err := p.pipe.Write(piece); err == nil {
			return nil
		} // what unpacks them has ended, and says why
	}
	p.pipe.Close()
	err := <-p.unpacks
	if err == nil {
		var stamp bundle.Stamp
		if stamp, err = bundle.Seal(p.path); err == nil {
			p.stamp = &stamp
			return nil
		}
	}
	if errors.Is(err, unix.ENOSPC) {
		return errors.New("the packages of the Runtime take more room than it has for files; its spec.scratch must be larger")
	}
	return fmt.Errorf("the packages of the Runtime: %w", err)
}

func (p *packages) begin() error {
	if p.path == "" {
		return errors.New("this sandbox has no place for them")
	}
	if err := os.Mkdir(p.path, 0o700); err != nil {
		return err
	}
	reading, writing := io.Pipe()
	p.pipe, p.unpacks = writing, make(chan error, 1)
	go func() {
		err := bundle.Unpack(p.path, ".", reading)
		reading.CloseWithError(err)
		p.unpacks <- err
	}()
	return nil
}

// name is that of their directory, "" while they are not there: what else has this name is a step's.
func (p *packages) name() string {
	if p.stamp == nil {
		return ""
	}
	return packagesName
}

// unchanged is an error if anybody has touched them since they came.
func (p *packages) unchanged() error {
	if p.stamp == nil {
		return nil
	}
	now, err := bundle.StampOf(p.path)
	if err == nil && now != *p.stamp {
		err = fmt.Errorf("%s was changed", filepath.Base(p.path))
	}
	return err
}
