"""Container steps on this machine: the contract of `runtimes/container`, with podman."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from component.local.conftest import COMMAND, Citadel
from conformance.cases import Case
from conformance.languages import languages
from enginebox import BOX, engine, make_box, podman

(CONTAINER,) = (language for language in languages() if language.name == "container")
#: What does not go through an input, in which it is with others.
LARGE = ("mebibyte", "bytes", "over", "deep", "deeper")
#: Those of the contract.
CASES = [case for case in CONTAINER.cases() if case.name not in LARGE]
#: What is told of JSON that is none is the parser's own word.
OWN_WORDS = ("InvalidOutput",)


@pytest.fixture(scope="module")
def engine_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with engine(tmp_path_factory.mktemp("engine")) as env:
        make_box(env)
        yield env
        podman(env, "system", "reset", "--force")


def step(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "container": {"image": BOX, "command": ["sh", "-c", script]}, **more}


def write(
    folder: Path, *steps: Mapping[str, Any], outputs: Mapping[str, Any] | None = None, **spec: Any
) -> str:
    spec = {"steps": steps, "outputs": outputs or {}, **spec}
    flow = {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "flow"},
        "spec": spec,
    }
    (folder / "flow.yaml").write_text(json.dumps(flow))
    return str(folder / "flow.yaml")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, engine_env: dict[str, str]) -> dict[str, Any]:
    """How every case of the container's contract ends, all of them in one run."""
    folder = tmp_path_factory.mktemp("cases")
    given = {case.name: case.given for case in CASES}
    (folder / "given.json").write_text(json.dumps(given))
    steps = [
        {
            "name": f"case_{case.name}",
            "needs": [],
            "container": {
                "image": BOX,
                "command": ["sh", "-c", CONTAINER.code(case.snippet)],
                "env": [
                    {"name": key, "value": value} for key, value in ({"TMPDIR": "/tmp"} | case.env).items()
                ],
            },
            "with": {key: f"${{inputs.given[{case.name!r}].{key}}}" for key in case.given},
            "onError": {"output": {"failed": "${error}"}},
        }
        for case in CASES
    ]
    file = write(
        folder,
        *steps,
        inputs={"type": "object", "properties": {"given": {"type": "object"}}},
        outputs={f"case_{case.name}": f"${{steps.case_{case.name}.output}}" for case in CASES},
    )
    done = subprocess.run(
        [*COMMAND, "run", "--local", file, "--input-file", "given=given.json", "--logs"],
        cwd=folder, env=os.environ | engine_env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"log": done.stderr}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.timeout(300)
def test_a_case_of_the_contract_ends_here_as_in_a_cluster(case: Case, ended: dict[str, Any]) -> None:
    name = f"case_{case.name}"
    found = ended[name]
    if not case.reason:
        assert found == (case.output | {"step": name} if case.name == "environment" else case.output)
        lines = [line for line in ended["log"].splitlines() if line.startswith(f"{name} | ")]
        printed = case.stdout.splitlines() + case.stderr.splitlines()
        assert sorted(lines) == sorted(f"{name} | {line}" for line in printed)
    else:
        assert found["failed"]["reason"] == case.reason
        if case.reason not in OWN_WORDS:
            assert case.message in found["failed"]["message"]


def test_a_container_is_nobody_and_can_do_nothing_but_its_own(
    tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    look = """
    status() { sed -n "s/^$1:[^0-9]*//p" /proc/self/status; }
    for place in / /run /bin /work /tmp /dev/shm; do
      touch $place/x 2>/dev/null && written="$written$place "
    done
    cat > $CITADEL_OUTPUT <<END
    {"uid": $(id -u), "written": "$written",
     "capabilities": "$(status CapEff)", "raised": "$(status NoNewPrivs)",
     "network": "$(ls /sys/class/net)", "variable": "$BROUGHT"}
END
    """
    file = write(tmp_path, step("look", look), outputs={"found": "${steps.look.output}"})
    done = citadel("run", "--local", file, **engine_env)
    assert done.code == 0, done.stderr
    assert done.outputs["found"] == {
        "uid": 65533,
        "written": "/work /tmp /dev/shm ",
        "capabilities": "0" * 16,
        "raised": "1",
        "network": "lo",
        "variable": "by the image",
    }


def test_an_output_is_a_mebibyte_at_most(
    tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    script = """(printf '"'; head -c $COUNT /dev/zero | tr '\\0' x; printf '"') > $CITADEL_OUTPUT"""
    fits, over = (step(name, script, needs=[]) for name in ("fits", "over"))
    fits["container"]["env"] = [{"name": "COUNT", "value": str(2**20 - 2)}]
    over["container"]["env"] = [{"name": "COUNT", "value": str(2**20 - 1)}]
    over["onError"] = {"output": "${error.message}"}
    outputs = {"fits": "${size(steps.fits.output)}", "over": "${steps.over.output}"}
    done = citadel("run", "--local", write(tmp_path, fits, over, outputs=outputs), **engine_env)
    assert done.code == 0, done.stderr
    assert done.outputs == {
        "fits": 2**20 - 2,
        "over": f"the output is {2**20 + 1} bytes of JSON, at most {2**20} are allowed",
    }


def test_files_and_artifacts_go_from_step_to_step_whatever_runs_them(
    tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    steps = (
        step(
            "make",
            "mkdir -p tree/a; cp note tree/a/b; chmod +x tree/a/b; cp note /data/single; ln -s a/b tree/link",
            files={"note": "${inputs.note}"},
            artifacts={"out": {"tree": "./tree", "single": "/data/single"}},
        ),
        {
            "name": "pass",
            "run": {
                "runtime": "python",
                "code": "def main():\n    open('tree/a/c', 'w').write(open('single').read() * 2)\n",
            },
            "artifacts": {
                "in": {"tree": "steps.make.artifacts.tree", "single": "steps.make.artifacts.single"},
                "out": {"tree": "tree"},
            },
        },
        step(
            "take",
            "cat /data/in/a/b /data/in/link /data/in/a/c; test -x /data/in/a/b; echo more >> /data/in/a/b",
            artifacts={"in": {"/data/in": "steps.pass.artifacts.tree"}},
        ),
    )
    file = write(tmp_path, *steps, inputs={"type": "object", "properties": {"note": {"type": "string"}}})
    done = citadel("run", "--local", file, "-i", "note=grün\n", "--logs", **engine_env)
    assert done.code == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("take | ")] == ["take | grün"] * 4


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"image": BOX, "command": ["nosuch", "x"]}, 'command "nosuch" cannot be run: No such file'),
        ({"image": BOX, "command": ["/etc"]}, 'command "/etc" cannot be run: Permission denied'),
        ({"image": "localhost/citadel-none:x", "command": ["sh"]}, "image localhost/citadel-none:x: "),
        ({"image": "--privileged", "command": ["sh", BOX]}, "image --privileged: "),
        ({"image": "Not An Image", "command": ["sh"]}, 'found "Not An Image"'),
    ],
)  # fmt: skip
def test_what_cannot_run_is_told(
    container: dict[str, Any], message: str, tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    done = citadel("run", "--local", write(tmp_path, {"name": "a", "container": container}), **engine_env)
    assert done.code != 0
    assert message in done.stderr + done.stdout


def test_a_command_in_time_and_one_that_is_not(
    tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    file = write(tmp_path, step("slow", "(setsid sleep 1000 &) ; sleep 1000", timeout="1s"))
    done = citadel("run", "--local", file, **engine_env)
    assert done.code == 1
    assert "slow: failed (Timeout: ran longer than its timeout of 1s" in done.stderr
    assert podman(engine_env, "ps", "--all", "--quiet").stdout == b""


@pytest.mark.parametrize(
    ("script", "signals", "said"),
    [
        ("trap 'echo cleaned up; exit 1' TERM; echo begun; sleep 1000", 1, "a | cleaned up"),
        ("trap '' TERM; echo begun; while true; do sleep 1000; done", 2, ""),
    ],
)  # fmt: skip
def test_a_run_that_is_interrupted_leaves_no_container(
    script: str, signals: int, said: str, tmp_path: Path, engine_env: dict[str, str]
) -> None:
    file = write(tmp_path, step("a", script))
    with subprocess.Popen(
        [*COMMAND, "run", "--local", file, "--logs"],
        env=os.environ | engine_env, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        lines = iter(run.stderr)
        assert any("a | begun" in line for line in lines)
        run.send_signal(signal.SIGINT)
        assert any("citadel: cancelling" in line for line in lines)
        if signals > 1:
            run.send_signal(signal.SIGINT)
        rest = "".join(lines)
        assert run.wait(timeout=30) == 130, rest
    assert said in rest
    assert podman(engine_env, "ps", "--all", "--quiet").stdout == b""


def test_what_a_killed_run_left_the_next_one_takes_away(
    tmp_path: Path, engine_env: dict[str, str], citadel: Citadel
) -> None:
    file = write(tmp_path, step("a", "echo begun; sleep 1000"))
    with subprocess.Popen(
        [*COMMAND, "run", "--local", file, "--logs"],
        env=os.environ | engine_env, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        assert any("a | begun" in line for line in run.stderr)
        run.kill()
        # Its engine still writes there.
        run.stderr.close()
    assert podman(engine_env, "ps", "--quiet").stdout != b""
    assert citadel("run", "--local", write(tmp_path, step("b", "true")), **engine_env).code == 0
    assert podman(engine_env, "ps", "--all", "--quiet").stdout == b""


@pytest.mark.parametrize(
    ("named", "said"),
    [("nosuch", "nosuch is not installed"), ("false", "false does not answer: ")],
)
def test_without_an_engine_it_is_told_what_is_missing(
    named: str, said: str, tmp_path: Path, citadel: Citadel
) -> None:
    done = citadel("run", "--local", write(tmp_path, step("a", "true")), CITADEL_ENGINE=named)
    assert done.code == 2
    assert "container steps need podman or docker: step a is one; " in done.stderr
    assert said in done.stderr
