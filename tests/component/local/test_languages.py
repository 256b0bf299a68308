"""JavaScript, Go and Java on this machine: in one workflow, with their lines, and compiled once."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from citadel.local.machine import Machine

Write = Callable[..., str]
Citadel = Callable[..., Any]

ALL = """
- name: first
  run: {runtime: python, code: "def main(): return [1, 2, 3]"}
- name: second
  run:
    runtime: javascript
    code: |
      export default ({ rows }) => {
        console.log("in js")
        return rows.map((x) => x * 2)
      }
  with: {rows: "${steps.first.output}"}
- name: third
  run:
    runtime: go
    code: |
      package main
      import "fmt"
      func Main(in struct{ Rows []int }) (map[string]int, error) {
          fmt.Println("in go")
          return map[string]int{"sum": in.Rows[0] + in.Rows[1] + in.Rows[2]}, nil
      }
  with: {rows: "${steps.second.output}"}
- name: fourth
  run:
    runtime: mine
    code: |
      import java.util.*;
      class Last {
          static Object main(Map<String, Object> in) {
              System.out.println("in java");
              return List.of(in.get("sum"), System.getenv("A"), System.getenv("B"));
          }
      }
    env: [{name: B, value: "${string(1 + 1)}"}]
  with: {sum: "${steps.third.output.sum}"}
"""
MINE = """
---
apiVersion: citadel.dev/v1alpha1
kind: Runtime
metadata: {name: mine}
spec: {language: java, image: ignored, env: [{name: A, value: "1"}]}
"""
CODE = """
- name: a
  run:
    runtime: {language}
    code: |
{code}
"""
BROKEN = {
    "javascript": (
        "export default () => {\n  const rows = null\n  return rows.length\n}",
        "TypeError: Cannot read properties of null",
        3,
    ),
    "go": (
        'package main\n\nfunc Main() (int, error) {\n\treturn "x", nil\n}',
        "step a, line 4, column 9: ",
        4,
    ),
    "java": ("class A {\n  static Object main() {\n    return 1 / 0;\n  }\n}", "/ by zero", 3),
}


@pytest.fixture(scope="module", autouse=True)
def kits() -> None:
    """What takes its time once is done before."""
    Machine().equip({"go": [ALL], "java": ()})


@pytest.mark.parametrize("kept", ["bubblewrap", "none"])
def test_a_workflow_of_all_languages(citadel: Citadel, workflow: Write, kept: str) -> None:
    file = workflow(ALL, spec='outputs: {all: "${steps.fourth.output}"}', after=MINE)
    done = citadel("run", "--local", "--logs", "--isolation", kept, file)
    assert (done.code, done.outputs) == (0, {"all": [12, "1", "2"]}), done.stderr
    printed = re.findall(r"^(\w+) \| (.*)$", done.stderr, re.M)
    assert printed == [("second", "in js"), ("third", "in go"), ("fourth", "in java")]


@pytest.mark.parametrize("language", BROKEN)
def test_a_failure_tells_its_line_of_the_file(citadel: Citadel, workflow: Write, language: str) -> None:
    code, message, line = BROKEN[language]
    indented = "\n".join(f"      {part}" for part in code.splitlines())
    done = citadel("run", "--local", workflow(CODE.format(language=language, code=indented)))
    assert done.code == 1
    assert message in done.stderr
    assert f"  at flow.yaml:{9 + line}\n" in done.stderr


def test_what_is_compiled_is_kept_and_not_compiled_again(
    citadel: Citadel, workflow: Write, tmp_path: Path
) -> None:
    code = "      package main\n      func Main() (int, error) { return 7, nil }"
    file = workflow(CODE.format(language="go", code=code), spec='outputs: {found: "${steps.a.output}"}')
    cache = tmp_path / "cache"
    go = subprocess.run(["go", "env", "GOCACHE"], capture_output=True, text=True, check=True).stdout.strip()
    env = {"XDG_CACHE_HOME": str(cache), "GOCACHE": go}
    for _ in range(2):
        done = citadel("run", "--local", file, **env)
        assert (done.code, done.outputs) == (0, {"found": 7}), done.stderr
        (program,) = (cache / "citadel/programs").iterdir()
    program.write_bytes(b"#!/bin/sh\nexit 9\n")
    done = citadel("run", "--local", file, **env)
    assert "exit code 9" in done.stderr, "it was built again"


def test_artifacts_of_a_cached_step_are_there_in_a_later_run(citadel: Citadel, workflow: Write) -> None:
    steps = """
    - name: make
      run: {runtime: python, code: "def main(x): open('out', 'w').write(str(x)); print('made')"}
      with: {x: 7}
      artifacts: {out: {text: out}}
      cache: {}
    - name: use
      run:
        runtime: javascript
        code: |
          import fs from "fs"
          export default () => fs.readFileSync("in", "utf8")
      artifacts: {in: {in: steps.make.artifacts.text}}
    """
    file = workflow(steps, spec='outputs: {text: "${steps.use.output}"}')
    for more, made in ((), True), ((), False), (("--no-cache",), True):
        done = citadel("run", "--local", "--logs", "--journal", "j.db", *more, file)
        assert (done.code, done.outputs) == (0, {"text": "7"}), done.stderr
        assert ("make | made" in done.stderr) == made


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "javascript needs Node.js 20.11 or newer on this machine, found no node on PATH; install it"),
        ("echo 'v18.19.0 /usr/bin/node'", "found 18.19.0 ("),
        ("echo oops; exit 3", "says 'oops' instead of its version"),
    ],
)
def test_a_language_that_cannot_run_says_what_is_missing(
    citadel: Citadel, workflow: Write, tmp_path: Path, script: str | None, message: str
) -> None:
    if script is not None:
        (tmp_path / "node").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "node").chmod(0o755)
    file = workflow("- {name: a, run: {runtime: javascript, code: export default () => 1}}")
    done = citadel("run", "--local", file, PATH=str(tmp_path))
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "step a: javascript needs Node.js" in done.stderr
