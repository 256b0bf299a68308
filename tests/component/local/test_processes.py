"""What steps leave behind locally: nothing. No process, no file, no variable, however they end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import gone, python_step, wait_for, written

Write = Callable[..., str]
Citadel = Callable[..., Any]

#: What steps do to files and processes of this machine shows where nothing keeps them from it.
RUN = ("run", "--local", "--isolation", "none")
#: Leaves a grandchild that has freed itself of session and parent, and says who it is.
DAEMON = """
import os, subprocess, sys, time
INNER = "import os, sys, time; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
MIDDLE = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]])"
def main(file, wait):
    subprocess.Popen([sys.executable, '-c', MIDDLE, INNER, file + '.part'])
    while not os.path.exists(file + '.part') or not open(file + '.part').read():
        time.sleep(0.01)
    os.rename(file + '.part', file)
    time.sleep(wait)
"""
SLEEPS = """
import os, time
def main(file):
    open(file, 'w').write(str(os.getppid()))
    time.sleep(600)
"""
CLEANS_UP = """
import os, time
def main(file, cleaned):
    open(file, 'w').write(str(os.getpid()))
    try:
        time.sleep(600)
    finally:
        open(cleaned, 'w').close()
"""
STUBBORN = """
import os, signal, time
def main(file):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(file, 'w').write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Starts the command without waiting for it; ends it when the test has not."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from citadel.cli import main; main(prog_name='citadel')", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def pid(tmp_path: Path) -> Path:
    """Where a step says which process it is."""
    return tmp_path / "pid"


def test_a_timeout_ends_the_whole_process_tree(citadel: Citadel, workflow: Write, pid: Path) -> None:
    done = citadel(*RUN, workflow(python_step("a", DAEMON, "timeout: 3s", file=str(pid), wait=600)))
    assert done.code == 1
    assert "citadel: failed: step a: ran longer than its timeout of 3s\n" in done.stderr
    assert gone(int(pid.read_text()))


def test_children_left_behind_end_with_their_step(citadel: Citadel, workflow: Write, pid: Path) -> None:
    check = "import os\ndef main(file): return os.path.exists(f'/proc/{open(file).read()}/exe')"
    steps = python_step("a", DAEMON, file=str(pid), wait=0) + python_step("b", check, file=str(pid))
    done = citadel(*RUN, workflow(steps, spec='outputs: {alive: "${steps.b.output}"}'))
    assert (done.code, done.outputs) == (0, {"alive": False})


def test_ctrl_c_cancels_lets_finally_run_and_leaves_nothing(
    started: Any, workflow: Write, tmp_path: Path, pid: Path
) -> None:
    cleaned = tmp_path / "cleaned"
    steps = python_step("a", CLEANS_UP, file=str(pid), cleaned=str(cleaned)) + python_step("b", "main = dict")
    process = started(*RUN, workflow(steps))
    assert wait_for(lambda: written(pid))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (130, "")
    assert "citadel: cancelled: interrupted at the terminal\n" in stderr
    assert cleaned.exists()
    assert gone(int(pid.read_text()))
    assert "b: running" not in stderr


def test_a_second_ctrl_c_does_not_wait(started: Any, workflow: Write, pid: Path) -> None:
    process = started(*RUN, workflow(python_step("a", STUBBORN, file=str(pid))))
    assert wait_for(lambda: written(pid))
    process.send_signal(signal.SIGINT)
    assert any("cancelling" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=8)
    assert process.returncode == 130
    assert gone(int(pid.read_text()))


def test_an_interpreter_ends_with_the_command(started: Any, workflow: Write, pid: Path) -> None:
    process = started(*RUN, workflow(python_step("a", SLEEPS, file=str(pid))))
    assert wait_for(lambda: written(pid))
    process.kill()
    process.wait()
    assert wait_for(lambda: gone(int(pid.read_text())))


def test_nothing_survives_from_step_to_step_but_outputs(citadel: Citadel, workflow: Write) -> None:
    first = """
import builtins, os, tempfile
def main():
    open('here', 'w').close()
    open(os.path.join(tempfile.gettempdir(), 'there'), 'w').close()
    os.environ['LEFT'] = builtins.LEFT = 'over'
"""
    second = """
import builtins, os, tempfile
def main():
    files = [os.listdir('.'), os.listdir(tempfile.gettempdir())]
    return [*files, os.environ.get('LEFT'), hasattr(builtins, 'LEFT')]
"""
    steps = python_step("a", first) + python_step("b", second)
    done = citadel(*RUN, workflow(steps, spec='outputs: {left: "${steps.b.output}"}'))
    assert done.outputs == {"left": [[], [], None, False]}


def test_a_step_that_deletes_its_folder_costs_only_its_sandbox(citadel: Citadel, workflow: Write) -> None:
    steps = python_step("a", "import os, shutil\ndef main(): shutil.rmtree(os.getcwd())")
    steps += python_step("b", "import os\ndef main(): return os.listdir('.')")
    done = citadel(*RUN, workflow(steps, spec='outputs: {left: "${steps.b.output}"}'))
    assert (done.code, done.outputs) == (0, {"left": []})


def test_a_step_that_kills_its_interpreter_costs_only_itself(citadel: Citadel, workflow: Write) -> None:
    kills = "import os\ndef main():\n  if os.environ['CITADEL_ATTEMPT'] == '1': os.kill(os.getppid(), 9)"
    steps = python_step("a", kills, "retry: {backoff: {initial: 10ms}}") + python_step("b", "main = dict")
    assert citadel(*RUN, workflow(steps)).code == 0


def test_steps_do_not_see_this_shell(citadel: Citadel, workflow: Write) -> None:
    steps = """
    - name: a
      run:
        runtime: python
        code: |
          import os
          def main():
              return [os.environ.get("TOKEN"), os.environ["GIVEN"]]
        env: [{name: GIVEN, value: "n ${1 + 1}"}]
    """
    done = citadel(*RUN, workflow(steps, spec='outputs: {seen: "${steps.a.output}"}'), TOKEN="secret")
    assert done.outputs == {"seen": [None, "n 2"]}
