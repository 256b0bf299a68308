"""What errors of a cluster mean to a person; names; columns."""

import re
from typing import Any

import pytest

from citadel.cli.following import ended, exit_code
from citadel.cli.get import table
from citadel.cli.remote import ExitCode, Refused, Target, explained, object_name
from citadel.cli.remote_run import is_path, new_name
from citadel.kube.errors import ApiError, ConfigError, Unavailable, error_from


def status(code: int, reason: str = "", message: str = "", name: str = "") -> ApiError:
    body = {"reason": reason, "message": message, "details": {"name": name} if name else {}}
    return error_from(code, body, request="GET /x")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("no cluster configured"), ExitCode.UNREACHABLE, "no cluster configured"),
        (Unavailable(0, "Unreachable", "refused"), ExitCode.UNREACHABLE, "cannot be reached: refused"),
        (status(503, message="etcd is away"), ExitCode.UNREACHABLE, "etcd is away"),
        (status(401, message="no"), ExitCode.UNREACHABLE, "does not accept the kubeconfig's credentials"),
        (status(403, message="jane cannot list"), ExitCode.UNREACHABLE, "jane cannot list"),
        (status(404), ExitCode.UNREACHABLE, "is it installed?"),
        (status(404, name="x", message='workflows "x" not found'), ExitCode.INVALID, '"x" not found'),
        (status(422, message="spec.steps: required"), ExitCode.INVALID, "spec.steps: required"),
        (status(409, message="conflict with helm"), ExitCode.INVALID, "conflict with helm"),
        (Refused("no", ExitCode.FAILED), ExitCode.FAILED, "no"),
    ],
)
def test_an_error_of_the_cluster_is_one_message_and_an_exit_code(
    error: Exception, code: ExitCode, told: str
) -> None:
    found = explained(error)
    assert found is not None
    assert told in str(found)
    assert found.code in (
        code,
        ExitCode.INVALID if isinstance(error, ApiError) and not error.status else code,
    )


def test_a_defect_of_this_program_is_not_explained_away() -> None:
    assert explained(KeyError("x")) is None


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a/b", "../x", "x" * 254])
def test_a_name_that_no_object_has_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="expected a name"):
        object_name("Execution", name)


@pytest.mark.parametrize("workflow", ["sales", "a" * 253, "a" * 246 + ".b", "x.y-z"])
def test_a_new_name_is_the_workflows_and_five_characters(workflow: str) -> None:
    name = new_name(workflow)
    assert object_name("Execution", name) == name
    assert re.fullmatch(r"[b-df-hj-np-tv-z0-9]{5}", name[-5:])
    assert workflow.startswith(name[:-6].rstrip(".-"))
    assert name != new_name(workflow)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sales", False),
        ("sales.v2", False),
        ("./sales", True),
        ("a.yaml", True),
        ("a.yml", True),
        ("-", True),
    ],
)
def test_a_path_is_told_from_a_name(text: str, path: bool) -> None:
    assert is_path(text) == path


def execution(name: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "spec": {"workflowRef": {"name": "sales"}},
        "status": status,
    }


@pytest.mark.parametrize(
    ("phase", "over", "code"),
    [
        ("Succeeded", True, 0),
        ("Failed", True, 1),
        ("Cancelled", True, 1),
        ("TimedOut", True, 1),
        ("Running", False, 1),
    ],
)
def test_an_end_is_told_by_the_phase(phase: str, over: bool, code: int) -> None:
    found = execution("a", phase=phase)
    assert (ended(found), exit_code(found)) == (over, code)


def test_executions_are_columns_as_kubectl_shows_them() -> None:
    items = [
        execution(
            "a", phase="Running", reason="Running", progress={"text": "1/4"}, startedAt="1970-01-01T00:00:30Z"
        ),
        execution("much-longer", phase="Succeeded", reason="Completed", duration="1.3s"),
        execution("new"),
    ]
    assert table(items, 100.0, everywhere=False).splitlines() == [
        "NAME          WORKFLOW   PHASE       REASON      PROGRESS   DURATION   AGE",
        "a             sales      Running     Running     1/4        1m10s      1m40s",
        "much-longer   sales      Succeeded   Completed              1.3s       1m40s",
        "new           sales      Pending                                       1m40s",
    ]
    assert table(items, 100.0, everywhere=True).splitlines()[1].startswith("ns ")


def test_the_same_cluster_is_meant_for_kubectl() -> None:
    assert Target().kubectl_options == []
    target = Target(kubeconfig="/k", context="c")
    assert target.kubectl_options == ["--kubeconfig=/k", "--context=c"]
