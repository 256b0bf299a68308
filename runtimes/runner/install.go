package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// install copies the shim, which lies beside the runner in its image, to directory, which the container main mounts.
// The file appears complete or not at all.
func install(directory string) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	source, err := os.Open(filepath.Join(filepath.Dir(own), "shim"))
	if err != nil {
		return err
	}
	defer source.Close()
	temporary, err := os.CreateTemp(directory, ".shim-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if _, err := io.Copy(temporary, source); err != nil {
		return fmt.Errorf("copying the shim: %w", err)
	}
	if err := temporary.Chmod(0o555); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), filepath.Join(directory, "shim"))
}
