"""The CRDs on a real API server: accepted, readable by `kubectl explain`, and their rules hold."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CRDS = Path(__file__).parents[2] / "crds"
STEP = {"name": "a", "run": {"runtime": "python", "code": "def main(): pass"}}
Apply = Callable[..., subprocess.CompletedProcess[str]]


def kubectl(*arguments: str, stdin: Any = None) -> subprocess.CompletedProcess[str]:
    """Runs kubectl on the cluster of $KUBECONFIG."""
    text = None if stdin is None else json.dumps(stdin)
    return subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, timeout=60)


def done(*arguments: str, stdin: Any = None) -> str:
    """As `kubectl`, and it must succeed; its output."""
    result = kubectl(*arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module", autouse=True)
def crds() -> None:
    # Other tests run Executions meanwhile, so nothing is deleted here.
    done("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    names = [f"crd/{path.stem.removeprefix('citadel.dev_')}.citadel.dev" for path in CRDS.glob("*.yaml")]
    done("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture(scope="module")
def scratch() -> Iterator[str]:
    name = f"crds-{uuid.uuid4().hex[:8]}"
    done("create", "namespace", name)
    yield name
    done("delete", "namespace", name, "--wait=false")


def an_object(kind: str, namespace: str, spec: dict[str, Any], name: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name or f"x-{uuid.uuid4().hex[:8]}", "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("kind", "plural", "spec"),
    [
        ("Workflow", "workflows", {"steps": [STEP]}),
        ("Runtime", "runtimes", {"image": "example.com/python:1"}),
        ("Execution", "executions", {"workflowRef": {"name": "none"}}),
    ],
)
def test_before_a_controller_has_seen_it_an_object_is_of_no_generation(
    scratch: str, kind: str, plural: str, spec: dict[str, Any]
) -> None:
    made = json.loads(done("create", "-o", "json", "-f", "-", stdin=an_object(kind, scratch, spec)))
    version = made["metadata"]["resourceVersion"]
    path = f"/apis/citadel.dev/v1alpha1/namespaces/{scratch}/{plural}"
    then = done("get", "--raw", f"{path}?resourceVersion={version}&resourceVersionMatch=Exact")
    (found,) = (
        item for item in json.loads(then)["items"] if item["metadata"]["name"] == made["metadata"]["name"]
    )
    assert found["status"] == {"observedGeneration": -1}
    done("delete", plural, made["metadata"]["name"], "-n", scratch, "--wait=false")


@pytest.mark.parametrize("plural", ["workflows", "runtimes", "executions", "approvals", "triggers"])
def test_the_api_server_has_no_complaint_about_a_definition(plural: str) -> None:
    crd = json.loads(done("get", "crd", f"{plural}.citadel.dev", "-o", "json"))
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert conditions.get("NonStructuralSchema", "False") == "False"
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"


def test_explain_tells_what_a_step_is() -> None:
    text = " ".join(done("explain", "workflows.citadel.dev.spec.steps").split())
    assert "A name, exactly one action, and modifiers." in text
    assert "when <string> CEL condition; when it is false the step is skipped." in text
    assert "join <string> enum: all, any, finished" in text
    assert "name <string> -required-" in text


def test_short_names_and_the_category_are_served() -> None:
    listed = done("api-resources", "--api-group=citadel.dev", "-o", "wide", "--no-headers")
    for line, short_name in (
        ("workflows", "ctwf"),
        ("runtimes", "ctrt"),
        ("executions", "ctex"),
        ("approvals", "ctap"),
        ("triggers", "cttr"),
    ):
        (row,) = [row for row in listed.splitlines() if row.startswith(line)]
        assert short_name in row.split()
        assert row.split()[-1] == "citadel"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [{**STEP, "container": {"image": "i", "command": ["c"]}}],
            'spec.steps[0]: Invalid value: "object": expected exactly one action of run, container',
        ),
        (
            [{"name": "a"}],
            'spec.steps[0]: Invalid value: "object": expected exactly one action of run, container',
        ),
        (
            [{"name": "a", "run": {"runtime": "python"}}],
            'spec.steps[0].run: Invalid value: "object": expected exactly one of code, codeFrom and entry',
        ),
        (
            [{**STEP, "name": "load-data"}],
            "spec.steps[0].name: Invalid value: "
            '"object": expected a step name: a letter, then at most 62 letters, digits or _',
        ),
        (
            [{"name": "a", "run": {**STEP["run"], "env": [{"name": "CITADEL_X"}]}}],
            "spec.steps[0].run.env[0].name: Invalid value: "
            '"object": expected a name without the reserved prefix CITADEL_',
        ),
        ([STEP, STEP], "spec.steps[1]: Duplicate value"),
        ([], "spec.steps: Invalid value: 0: spec.steps in body should have at least 1 items"),
        ([{**STEP, "join": "some"}], 'spec.steps[0].join: Unsupported value: "some"'),
        ([{**STEP, "timeout": "soon"}], "spec.steps[0].timeout: Invalid value"),
        ([{**STEP, "comand": "x"}], 'unknown field "spec.steps[0].comand"'),
    ],
)
def test_a_wrong_step_is_refused(scratch: str, steps: list[Any], message: str) -> None:
    result = kubectl("create", "-f", "-", stdin=an_object("Workflow", scratch, {"steps": steps}))
    assert result.returncode != 0
    assert message in result.stderr


def test_as_many_steps_and_variables_as_allowed_are_accepted(scratch: str) -> None:
    env = [{"name": f"V{n}", "value": "v"} for n in range(64)]
    steps = [{"name": f"s{n}", "run": {**STEP["run"], "env": env if n < 50 else []}} for n in range(500)]
    done("create", "-f", "-", stdin=an_object("Workflow", scratch, {"steps": steps}))


def test_defaults_are_filled_in_outside_lists_and_free_form_maps_are_kept(scratch: str) -> None:
    free = {"rows": "${inputs.rows}", "deep": [{"a": {"b": [1, None, "x"]}}]}
    spec = {"steps": [{**STEP, "with": free}], "inputs": {"type": "object", "x": {"y": 1}}, "timeout": None}
    stored = json.loads(done("create", "-o", "json", "-f", "-", stdin=an_object("Workflow", scratch, spec)))[
        "spec"
    ]
    assert stored == {"steps": [{**STEP, "with": free}], "inputs": spec["inputs"], "parallelism": 4}


def test_server_side_apply_keeps_the_order_in_which_steps_are_written(scratch: str) -> None:
    def order_after(*names: str) -> list[str]:
        steps = [{**STEP, "name": name} for name in names]
        value = an_object("Workflow", scratch, {"steps": steps}, name="ordered")
        stored = json.loads(done("apply", "--server-side", "-o", "json", "-f", "-", stdin=value))
        return [step["name"] for step in stored["spec"]["steps"]]

    for names in (["a", "b", "c"], ["a", "x", "b", "c"], ["z", "a", "x", "c"], ["c", "q", "z"]):
        assert order_after(*names) == names


EXECUTION = {"workflowRef": {"name": "nowhere"}, "inputs": {"a": {"b": [1, 2]}}}


@pytest.fixture(scope="module")
def execution(scratch: str) -> str:
    value = an_object("Execution", scratch, EXECUTION)
    done("create", "-f", "-", stdin=value)
    return str(value["metadata"]["name"])


def patched(scratch: str, execution: str, spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    patch = json.dumps({"spec": spec})
    return kubectl("patch", "executions.citadel.dev", execution, "-n", scratch, "--type=merge", "-p", patch)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workflowRef", {"name": "elsewhere"}),
        ("inputs", {"a": {"b": [1, 3]}}),
        ("inputs", {"more": 1}),
        ("inputs", None),
        ("ttlSecondsAfterFinished", 5),
    ],
)
def test_what_an_execution_was_created_with_cannot_change(
    scratch: str, execution: str, field: str, value: Any
) -> None:
    result = patched(scratch, execution, {field: value})
    assert result.returncode != 0
    assert f"spec.{field}: Invalid value" in result.stderr
    assert f"{field} cannot be changed after creation; create another Execution instead" in result.stderr


def test_an_execution_can_be_suspended_and_resumed(scratch: str, execution: str) -> None:
    for suspend in (True, False):
        assert patched(scratch, execution, {"suspend": suspend}).returncode == 0


def test_stop_is_only_ever_raised(scratch: str) -> None:
    value = an_object("Execution", scratch, EXECUTION)
    done("create", "-f", "-", stdin=value)
    name = value["metadata"]["name"]
    refusal = "stop may be set, and raised from Cancel to Terminate, but never taken back"
    for stop, allowed in (
        ("Cancel", True),
        (None, False),
        ("Terminate", True),
        ("Cancel", False),
        (None, False),
    ):
        result = patched(scratch, name, {"stop": stop})
        assert (result.returncode == 0) is allowed, (stop, result.stderr)
        assert allowed or refusal in result.stderr


def test_spec_and_status_are_written_apart(scratch: str, execution: str) -> None:
    status = json.dumps({"status": {"phase": "Running", "progress": {"done": 1, "total": 3, "text": "1/3"}}})
    target = ("executions.citadel.dev", execution, "-n", scratch)
    before = json.loads(done("get", *target, "-o", "json"))["metadata"]["generation"]
    done("patch", *target, "--type=merge", "--subresource=status", "-p", status)
    after = json.loads(done("get", *target, "-o", "json"))["metadata"]["generation"]
    header, row = done("get", *target).splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "AGE"]
    assert row.split()[:2] == [execution, "nowhere"]
    assert after == before
