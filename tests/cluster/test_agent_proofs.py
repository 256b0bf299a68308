"""What can be told of agents that ran on a real cluster: attempts and what they cost, recordings and their
replay without any model, evaluations."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from citadel.kube.resources import MODELS
from live import Cluster, citadel, environment, policy, sql
from liveagents import agent, begun, call, calls_of, code_tool, steps_of, until

DOUBLED = {"type": "object", "required": ["doubled"], "properties": {"doubled": {"type": "integer"}}}
EVALUATION = """
agent: worker
prompt: "Double ${case.given}."
cases:
- {name: two, given: 2, wanted: 4}
- {name: three, given: 3, wanted: 7}
assertions:
- output.doubled == case.wanted
- {rule: 'tools.map(tool, [tool.name, tool.arguments.n]) == [["double", case.given]]', message: asks once}
- usage.cost > 0.0 && usage.cost < 0.01
"""


def ended(folder: Path, *args: str, **env: str) -> tuple[int, str, str]:
    """How a command of ours ends in a folder, and what it says to stdout and stderr."""
    program = str(Path(sys.executable).with_name("citadel"))
    done = subprocess.run(
        [program, *args],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment(), **env},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def recorded(cluster: Cluster, folder: Path, *which: str) -> Any:
    """The recording of an execution, or of a step of it, which is run.json from now on."""
    citadel("record", *which, "-n", cluster.namespace, "-o", str(folder / "run.json"))
    return json.loads((folder / "run.json").read_text())


def replayed(folder: Path, recording: Any) -> tuple[int, str]:
    """How a replay ends on a machine that knows no cluster, and what it says."""
    (folder / "run.json").write_text(json.dumps(recording))
    code, told, errors = ended(folder, "replay", "run.json", KUBECONFIG="/nowhere")
    return code, told + errors


async def test_a_retry_begins_anew_and_what_the_failed_attempt_took_stays_in_the_books(
    cluster: Cluster, tmp_path: Path
) -> None:
    await code_tool(cluster)
    first, away = call("double", 0, n=4), {"turn": 1, "error": {"status": 503, "message": "overloaded"}}
    once = [{"name": "double", "tool": "double", "maxCalls": 1}]
    await agent(cluster, first, away, tools=once, limits={"turns": 2, "toolCalls": 1})
    name = await begun(cluster, retry={"attempts": 2, "backoff": {"initial": "1s"}})
    uid = (await cluster.get(name))["metadata"]["uid"]
    asked = f"SELECT count(*) FROM model_reservations WHERE uid = '{uid}'"
    # An attempt keeps the Model that it began with: the next one has this.
    await until(lambda: int(sql(asked)[0]) > 1)
    spec = {"spec": {"script": [first, {"turn": 1, "text": "Doubled."}]}}
    await cluster.kube.patch(MODELS, "script", spec, cluster.namespace)
    status = (await cluster.finished(name, 90))["status"]
    assert status.get("outputs") == {"said": "Doubled."}, status
    assert await steps_of(cluster, name) == {"work": "2", "work.double[1]": "1", "work.double[2]": "1"}

    of_attempts = f"FROM model_records WHERE uid = '{uid}' GROUP BY attempt ORDER BY attempt"
    assert sql(f"SELECT attempt, count(*) {of_attempts}") == ["1|1", "2|2"]
    sums = "SELECT sum(input_tokens + output_tokens), sum(cost) FROM"
    (answered,) = sql(f"{sums} model_records WHERE uid = '{uid}'")
    assert sql(f"{sums} model_reservations WHERE uid = '{uid}' AND state = 'settled'") == [answered]
    # What a server says with 503 may have been paid for: three tries, each counted in full.
    (booked,) = sql(f"{sums} model_reservations WHERE uid = '{uid}'")
    assert status["usage"]["totalTokens"] == int(booked.split("|")[0]) > 3 * int(answered.split("|")[0])
    assert await calls_of(cluster, name) == 6

    recording = recorded(cluster, tmp_path, name)
    ends = [(one["attempt"], one["status"], one.get("reason")) for one in recording["attempts"]]
    assert ends == [(1, "Failed", "ModelUnavailable"), (2, "Succeeded", None)]
    code, told = replayed(tmp_path, recording)
    assert code == 0, told
    assert "work: 1 model call, 1 tool call" in told
    assert "work (attempt 2): 2 model calls, 1 tool call" in told


async def test_a_recording_of_an_agent_is_replayed_elsewhere_and_a_replay_says_what_differs(
    cluster: Cluster, tmp_path: Path
) -> None:
    await code_tool(cluster)
    calls = [{"name": "double", "arguments": {"n": 21}}, {"name": "rm", "arguments": {"path": "/ü"}}]
    script = ({"turn": 0, "toolCalls": calls}, {"turn": 1, "json": {"doubled": 42}})
    await agent(cluster, *script, tools=[{"name": "double", "tool": "double"}], outputSchema=DOUBLED)
    async with policy(cluster, recordPrompts=True):
        status = (await cluster.finished(await begun(cluster), 90))["status"]
    assert status.get("outputs") == {"said": {"doubled": 42}}, status

    recording = recorded(cluster, tmp_path, "run", "work")
    (attempt,) = recording["attempts"]
    assert attempt["output"] == {"doubled": 42}
    said = {one["tool"]: one.get("output", one.get("reason")) for one in attempt["tools"]}
    assert said == {"double": 42, "rm": "ToolNotAllowed"}
    code, told = replayed(tmp_path, recording)
    assert code == 0, told
    assert "work: 2 model calls, 2 tool calls" in told

    doubled = next(one for one in attempt["tools"] if one["tool"] == "double")
    doubled["output"] = 43
    code, told = replayed(tmp_path, recording)
    assert code == 1, told
    assert "FAIL work: ReplayMismatch: model call 2: asks something else than the recorded one: " in told
    assert 'found "43", expected "42"' in told

    doubled["output"], attempt["agent"]["prompt"] = 42, "Go away."
    code, told = replayed(tmp_path, recording)
    assert code == 1, told
    assert "FAIL work: ReplayMismatch: model call 1: " in told
    assert 'found "Go away.", expected "Go on."' in told


async def test_an_evaluation_runs_in_the_cluster_and_says_which_case_does_not_hold(
    cluster: Cluster, tmp_path: Path
) -> None:
    await code_tool(cluster)
    asks = [{**call("double", 0, n=n), "when": f"Double {n}"} for n in (2, 3)]
    says = [{"turn": 1, "when": f"^{n}$", "json": {"doubled": n}} for n in (4, 6)]
    await agent(cluster, *asks, *says, tools=[{"name": "double", "tool": "double"}], outputSchema=DOUBLED)
    (tmp_path / "worker.eval.yaml").write_text(EVALUATION)
    command = ("eval", "worker.eval.yaml", "--remote", "-n", cluster.namespace)
    code, told, errors = ended(tmp_path, *command, "--junit", "report.xml")
    assert code == 1, told + errors
    lines = told.splitlines()
    assert [line for line in lines if "does not hold" in line or "cannot be told" in line] == [
        "       does not hold: output.doubled == case.wanted"
    ]
    assert '       output: {"doubled": 6}' in lines
    marks = {
        line.split()[1]: (line.split()[0], line.split()[-1]) for line in lines if "tokens, $" in line[:60]
    }
    assert marks["two"] == ("ok", "double"), told
    assert marks["three"] == ("FAIL", "double"), told
    assert lines[-1].startswith("1 of 2 runs passed, expected 1 of them; ")
    assert "Traceback" not in errors
    assert (tmp_path / "report.xml").read_text().count("<failure") == 1

    code, told, errors = ended(tmp_path, *command, "-k", "two")
    assert code == 0, told + errors
    assert told.splitlines()[-1].startswith("1 of 1 run passed")
