"""`citadel run --local`: what newcomers see first, and what most tests of workflows stand on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commandline import python_step

ROOT = Path(__file__).parents[3]
Write = Callable[..., str]
Citadel = Callable[..., Any]

ADD = """
- name: load
  run: {runtime: python, code: "def main(limit): return list(range(limit))"}
  with: {limit: "${inputs.limit}"}
- name: total
  run: {runtime: python, code: "def main(rows): return sum(rows)"}
  with: {rows: "${steps.load.output}"}
"""
LIMIT = """
inputs:
  type: object
  required: [limit]
  properties: {limit: {type: integer}, note: {type: string, default: none}}
outputs: {total: "${steps.total.output}", note: "${inputs.note}"}
"""


def test_the_example_says_hello(citadel: Citadel) -> None:
    done = citadel("run", "--local", str(ROOT / "examples/hello/workflow.yaml"), "-i", "name=Ada", "--logs")
    assert (done.code, done.outputs) == (0, {"greeting": "HELLO, ADA!", "letters": 8})
    assert "greet | greeting Ada" in done.stderr


def test_outputs_are_json_on_stdout_and_all_else_is_on_stderr(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(ADD, spec=LIMIT), "-i", "limit:=5")
    assert (done.code, done.outputs) == (0, {"total": 10, "note": "none"})
    assert re.fullmatch(
        r"isolation: .*\nload: running\nload: succeeded in .*\ntotal: running\ntotal: succeeded in .*\n",
        done.stderr,
    )


def test_inputs_by_text_and_file(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("two\nlines")
    done = citadel(
        "run", "--local", workflow(ADD, spec=LIMIT), "-i", "limit=3", "--input-file", "note=note.txt"
    )
    assert done.outputs == {"total": 3, "note": "two\nlines"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param([], ["inputs", "limit"], id="a missing input"),
        pytest.param(["-i", "limit=many"], ["limit", "many", "integer"], id="an input of the wrong type"),
        pytest.param(["-i", "limit:=1", "-i", "lmit=2"], ["lmit"], id="an undeclared input"),
        pytest.param(["-i", "limit"], ["'limit'", "name=value"], id="an input without a value"),
        pytest.param(["-i", "limit:={"], ["limit", "JSON"], id="JSON that is none"),
        pytest.param(
            ["--input-file", "limit=ghost"], ["ghost", "No such file"], id="a file that is not there"
        ),
    ],
)
def test_bad_inputs_are_named(citadel: Citadel, workflow: Write, given: list[str], words: list[str]) -> None:
    done = citadel("run", "--local", workflow(ADD, spec=LIMIT), *given)
    assert (done.code, done.stdout) == (2, "")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_shows_the_users_own_lines(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    file = workflow("""
        - name: fails
          run:
            runtime: python
            code: |
              def main():
                  rows = []
                  return rows[3]
        - name: never
          run: {runtime: python, code: "def main(): pass"}
        """)
    done = citadel("run", "--local", file)
    assert (done.code, done.stdout) == (1, "")
    assert "citadel: failed: step fails: IndexError: list index out of range\n" in done.stderr
    assert '  File "fails.py", line 3, in main\n    return rows[3]\n' in done.stderr
    assert "  at flow.yaml:12\n" in done.stderr
    assert (tmp_path / "flow.yaml").read_text().splitlines()[11].strip() == "return rows[3]"
    assert "never" not in done.stderr


def test_code_that_does_not_parse_names_the_line_in_the_file(citadel: Citadel, workflow: Write) -> None:
    file = workflow("""
        - name: bad
          run:
            runtime: python
            code: |
              x = 1
              def main(:
        """)
    done = citadel("run", "--local", file)
    assert done.code == 1
    assert "citadel: failed: step bad, line 2" in done.stderr
    assert "  at flow.yaml:11\n" in done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("x = 1", ["defines no function main"], id="no main"),
        pytest.param("def main(a): pass", ["takes (a)", "got ()"], id="arguments that do not fit"),
        pytest.param("def main(): return {1, 2}", ["InvalidOutput", "set"], id="an output that is not JSON"),
        pytest.param(
            "def main(): return 'x' * 2000000", ["OutputTooLarge", "1048576"], id="an output too large"
        ),
        pytest.param("import sys\ndef main(): sys.exit(3)", ["exit code 3"], id="an exit code"),
        pytest.param("import os\ndef main(): os._exit(4)", ["exit code 4"], id="an exit without a word"),
        pytest.param("import os\ndef main(): os.kill(os.getpid(), 11)", ["SIGSEGV"], id="a signal"),
        pytest.param(
            "import os\ndef main(): os.kill(os.getppid(), 9)",
            ["ended the interpreter"],
            id="killing the interpreter",
        ),
    ],
)
def test_each_way_to_fail_has_one_clear_message(
    citadel: Citadel, workflow: Write, code: str, words: list[str]
) -> None:
    done = citadel("run", "--local", "--isolation", "none", workflow(python_step("a", code)))
    assert (done.code, done.stdout) == (1, "")
    for word in words:
        assert word in done.stderr


BRANCHES = """
- name: pick
  run: {runtime: python, code: "def main(size): return size"}
  with: {size: "${inputs.size}"}
- name: large
  when: steps.pick.output > 10
  run: {runtime: python, code: "def main(): return 'large'"}
- name: small
  needs: [pick]
  when: steps.pick.output <= 10
  run: {runtime: python, code: "def main(): return 'small'"}
- name: tell
  needs: [large, small]
  run: {runtime: python, code: "def main(kind): return 'it is ' + kind"}
  with: {kind: "${steps.large.?output.orValue(steps.small.?output.orValue('nothing'))}"}
"""
SIZE = """
inputs: {type: object, properties: {size: {type: integer}}}
outputs: {told: "${steps.tell.output}"}
"""


@pytest.mark.parametrize(("size", "told"), [(50, "it is large"), (5, "it is small")])
def test_branches_join(citadel: Citadel, workflow: Write, size: int, told: str) -> None:
    done = citadel("run", "--local", workflow(BRANCHES, spec=SIZE), "-i", f"size:={size}")
    assert (done.code, done.outputs) == (0, {"told": told})
    skipped = "small" if size > 10 else "large"
    assert f"{skipped}: skipped (ConditionFalse: when: steps.pick.output" in done.stderr


def test_steps_run_in_parallel(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    code = """
import pathlib, time
def main(mine, other, folder):
    pathlib.Path(folder, mine).touch()
    while not pathlib.Path(folder, other).exists():
        time.sleep(0.01)
"""
    steps = "".join(
        python_step(mine, code, "needs: []", "timeout: 20s", mine=mine, other=other, folder=str(tmp_path))
        for mine, other in (("a", "b"), ("b", "a"))
    )
    assert citadel("run", "--local", "--isolation", "none", workflow(steps)).code == 0


def test_a_retry_succeeds_in_the_end(citadel: Citadel, workflow: Write) -> None:
    done = citadel(
        "run",
        "--local",
        workflow(
            """
            - name: flaky
              retry: {attempts: 3, backoff: {initial: 50ms}}
              run:
                runtime: python
                code: |
                  import os
                  def main():
                      if int(os.environ["CITADEL_ATTEMPT"]) < 3:
                          raise ValueError("not yet")
                      return "now"
            """,
            spec='outputs: {it: "${steps.flaky.output}"}',
        ),
    )
    assert (done.code, done.outputs) == (0, {"it": "now"})
    assert "flaky: attempt 2 failed (Error: ValueError: not yet), next in 0.1s\n" in done.stderr
    assert "flaky: running, attempt 3\n" in done.stderr


def test_much_output_is_cut_visibly(citadel: Citadel, workflow: Write) -> None:
    steps = python_step("a", "def main():\n    for _ in range(400): print('x' * 50000)")
    done = citadel("run", "--local", workflow(steps), "--logs")
    assert done.code == 0
    assert "a | log cut: more than 10 MiB\n" in done.stderr
    assert len(done.stderr) < 12_000_000


def test_what_steps_print_cannot_steer_the_terminal(citadel: Citadel, workflow: Write) -> None:
    steps = python_step("a", "def main(): print('\\x1b[2J')")
    done = citadel("run", "--local", workflow(steps), "--logs")
    assert done.code == 0
    assert "\x1b" not in done.stderr
    assert "a | ␛[2J" in done.stderr


def test_starting_needs_no_server_library(workflow: Write, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("""
import sys
from citadel.cli import main
try:
    main(["run", "--local", "flow.yaml"], prog_name="citadel")
except SystemExit:
    heavy = "aiohttp cryptography httpx2 kopf langchain nacl opentelemetry psycopg redis rich sqlalchemy"
    print(sorted({*heavy.split()} & sys.modules.keys()))
""")
    workflow(python_step("a", "main = dict"))
    command = [sys.executable, "probe.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_terminal_shows_a_tree(workflow: Write, tmp_path: Path) -> None:
    import pty

    file = workflow(ADD, spec=LIMIT)
    ours, theirs = pty.openpty()
    code = "from citadel.cli import main; main(prog_name='citadel')"
    command = [sys.executable, "-c", code, "run", "--local", file, "-i", "limit:=3"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        stdout = process.stdout.read() if process.stdout else b""
    os.close(ours)
    assert json.loads(stdout) == {"total": 3, "note": "none"}
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "flow" in text
    assert "load" in text
    assert "Succeeded" in text


PARCELS = """
- name: make
  run:
    runtime: python
    code: |
      import os
      def main():
          os.mkdir("out")
          os.symlink("../token", "out/link") if open("mode").read() == "bad" else None
          open("out/a", "w").write(open("conf/name").read() + open("token").read())
  files:
    conf/name: Ada ${inputs.mode}
    mode: ${inputs.mode}
    token: {valueFrom: {secretKeyRef: {name: t, key: k}}}
  artifacts: {out: {tree: out, file: out/a}}
- name: read
  run:
    runtime: python
    code: |
      import os
      def main():
          print(open("one.txt").read())
          return [sorted(os.listdir()), open("in/a").read() == open("one.txt").read()]
  artifacts: {in: {in: steps.make.artifacts.tree, one.txt: steps.make.artifacts.file}}
- name: after
  run: {runtime: python, code: "import os\\ndef main(): return os.listdir()"}
"""
PARCELS_SPEC = """
inputs: {type: object, properties: {mode: {type: string}}}
outputs: {read: "${steps.read.output}", after: "${steps.after.output}"}
"""
TOKEN = """
---
apiVersion: v1
kind: Secret
metadata: {name: t}
stringData: {k: hunter2-hunter2}
"""


def test_files_and_artifacts_are_those_of_a_cluster(citadel: Citadel, workflow: Write) -> None:
    file = workflow(PARCELS, spec=PARCELS_SPEC, after=TOKEN)
    done = citadel("run", "--local", file, "-i", "mode=good", "--logs")
    assert (done.code, done.outputs) == (0, {"read": [["in", "one.txt"], True], "after": []})


def test_what_is_no_artifact_fails_its_step_here_too(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(PARCELS, spec=PARCELS_SPEC, after=TOKEN), "-i", "mode=bad")
    assert done.code == 1
    assert "artifact tree: /work/out: 'link' is a link that leads out of the tree" in done.stderr


def test_a_place_that_only_a_sandbox_has_is_named(citadel: Citadel, workflow: Write) -> None:
    step = """
- name: make
  run: {runtime: python, code: "def main(): pass"}
  artifacts: {out: {tree: /data/out}}
"""
    done = citadel("run", "--local", workflow(step))
    assert done.code != 0
    assert "step make: /data/out is a place of a sandbox" in done.stderr
