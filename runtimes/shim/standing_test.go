package main

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatAnotherProcessDoesToTheHarnessIsSeen(t *testing.T) {
	changes := map[string]func(pid int) error{
		"a limit": func(pid int) error {
			return unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 7, Max: 7}, nil)
		},
		"a priority": func(pid int) error { return unix.Setpriority(unix.PRIO_PROCESS, pid, 7) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			harness := exec.Command("sleep", "60")
			if err := harness.Start(); err != nil {
				t.Fatal(err)
			}
			defer harness.Wait()
			defer harness.Process.Kill()
			tree := tree{self: os.Getpid(), harness: harness.Process.Pid}
			before := tree.standings()
			if tree.standings() != before {
				t.Fatal("found another standing though nothing has changed it")
			}
			if err := change(tree.harness); err != nil {
				t.Fatal(err)
			}
			if tree.standings() == before {
				t.Error("the change is not seen")
			}
		})
	}
}
