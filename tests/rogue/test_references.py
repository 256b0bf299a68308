"""Whoever writes workflows, agents and tools in a namespace names nothing of another: the API server refuses
what looks like that, and nobody is found by a name that is a name elsewhere."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from citadel.kube.resources import AGENTS, MODELS, TOOLS
from hostile.conftest import namespace
from live import Cluster, kubectl
from rogue.staging import create, keep_secrets

NAME = "theirs"
#: What is refused as it stands. `OTHER.theirs` may be a name: it is one that nobody has.
FORMS = (
    "OTHER/theirs",
    "../OTHER/theirs",
    "OTHER:theirs",
    "theirs@OTHER",
    "OTHER\uff0ftheirs",
    "theirs\u200b",
    "thеirs",
)
ANY = {"type": "object"}
CREDENTIAL = {"secretKeyRef": {"name": NAME, "key": "key"}}
STEPS: dict[str, dict[str, Any]] = {
    "tool": {"tool": {"name": NAME}},
    "agent": {"agent": {"name": NAME, "prompt": "Go."}},
    "llm": {"llm": {"model": NAME, "prompt": "Go."}},
    "workflow": {"workflow": {"name": NAME}},
    "credential": {"tool": {"name": "locked"}},
}


@dataclass(frozen=True)
class Found:
    """What became of executions, by what they name and where; and of objects, by what they name."""

    here: dict[str, dict[str, Any]]
    there: dict[str, dict[str, Any]]
    taken: list[str]


def objects() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Objects that name another: what of it, its kind and its spec."""
    for what in ("tool", "agent", "llm", "workflow"):
        yield f"step's {what}", "Workflow", {"steps": [{"name": "it", **STEPS[what]}]}
    yield "agent's tool", "Agent", {"model": "own", "tools": [{"name": "it", "tool": NAME}]}
    yield "agent's agent", "Agent", {"model": "own", "tools": [{"name": "it", "agent": NAME}]}
    yield "agent's model", "Agent", {"model": NAME}
    yield "agent's runtime", "Agent", {"model": "own", "runtime": NAME}
    yield "tool's workflow", "Tool", {"description": "It.", "workflow": {"name": NAME}}
    code = {"runtime": "python", "codeFrom": {"configMapKeyRef": {"name": NAME, "key": "code"}}}
    yield "tool's code", "Tool", {"description": "It.", "parameters": ANY, "code": code}
    yield "tool's credential", "Tool", locked()


def locked() -> dict[str, Any]:
    """A Tool with a credential."""
    http = {"url": "https://crm.example.com/v1", "credential": CREDENTIAL}
    return {"description": "It.", "parameters": ANY, "http": http}


async def _found() -> Found:
    async with namespace() as here, namespace() as there:
        await _furnish(there)
        for cluster in (here, there):
            await create(cluster, TOOLS, {"locked": locked()})
            for what, step in STEPS.items():
                await cluster.workflow(what, [{"name": "it", **step, "timeout": "60s"}])
        for what, step in STEPS.items():
            dotted = json.loads(json.dumps(step).replace(NAME, f"{there.namespace}.{NAME}"))
            if dotted != step:
                await here.workflow(f"{what}-dotted", [{"name": "it", **dotted, "timeout": "60s"}])
        names = [*STEPS, *(f"{what}-dotted" for what in STEPS if what != "credential")]
        ended = await asyncio.gather(
            *(here.run(name, 120) for name in names), *(there.run(name, 120) for name in STEPS)
        )
        taken = await asyncio.to_thread(_said, here, there.namespace)
    return Found(
        dict(zip(names, ended, strict=False)), dict(zip(STEPS, ended[len(names) :], strict=True)), taken
    )


async def _furnish(there: Cluster) -> None:
    """What the other namespace has under this name."""
    await create(there, MODELS, {NAME: {"provider": "scripted", "script": [{"text": "hello"}]}})
    code = {"runtime": "python", "code": "def main(): return 1"}
    await create(there, TOOLS, {NAME: {"description": "It.", "parameters": ANY, "code": code}})
    await create(there, AGENTS, {NAME: {"model": NAME}})
    await there.workflow(NAME, [{"name": "it", **STEPS["llm"]}])
    await keep_secrets(there, {NAME: ("sk-theirs-4711", "crm.example.com:443")})


def _said(here: Cluster, other: str) -> list[str]:
    """The objects that the API server would take, each by what it names, and how."""
    items = []
    for number, (_, kind, spec) in enumerate(objects()):
        for how, form in enumerate((NAME, *FORMS)):
            text = json.dumps(spec, ensure_ascii=False).replace(NAME, form.replace("OTHER", other))
            metadata = {"name": f"o-{number}-{how}", "namespace": here.namespace}
            body = {"apiVersion": TOOLS.api_version, "kind": kind, "metadata": metadata}
            items.append({**body, "spec": json.loads(text)})
    stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    said = kubectl("create", "--dry-run=server", "-o", "name", "-f", "-", stdin=stdin, check=False)
    return re.findall(r"^[a-z]+[.]citadel[.]dev/(o-\d+-\d+)", said, re.MULTILINE)


@pytest.fixture(scope="module")
def found() -> Found:
    return asyncio.run(_found())


@pytest.mark.parametrize("what", STEPS)
def test_a_name_of_another_namespace_leads_to_nothing(found: Found, what: str) -> None:
    for name in (what, f"{what}-dotted"):
        if name in found.here:
            status = found.here[name]
            assert status["phase"] == "Failed", status
            assert re.search("NotFound|SecretForbidden", status["reason"] + status["message"]), status


@pytest.mark.parametrize("what", STEPS)
def test_there_the_same_name_leads_to_it(found: Found, what: str) -> None:
    status = found.there[what]
    if what == "credential":
        # It was read; that no policy lets it go anywhere is another matter.
        assert "no ExecutionPolicy" in status["message"], status
    else:
        assert status["phase"] == "Succeeded", status


def test_what_looks_like_a_path_to_another_namespace_is_refused(found: Found) -> None:
    assert found.taken == [f"o-{number}-0" for number, _ in enumerate(objects())]
