"""The command line as a process, against a fake API server and a fake api behind a fake kubectl."""

import asyncio
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from citadel.controller.certificates import Identity, issue, new_authority
from citadel.store.memory_conversations import MemoryConversations
from citadel.web.access import Access
from citadel.web.access import Identity as Jane
from citadel.web.memory import MemoryRoutes
from component.kube.fakeapi import FakeApi, serve_fake_api

NAMESPACE = "/apis/citadel.dev/v1alpha1/namespaces/team"
_KUBECTL = """#!{python}
import os, sys, time
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + chr(10))
if os.path.exists({refusal!r}):
    sys.exit(open({refusal!r}).read())
open({pid!r}, "w").write(str(os.getpid()))
print("Forwarding from 127.0.0.1:{port} -> 8443", flush=True)
time.sleep(600)
"""


@dataclass
class FakeCitadel:
    """Citadel's api: what it knows of executions, and how it fails."""

    cluster: FakeApi | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    within: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Steps of further executions, by their names."""
    outputs: Any = None
    connections: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    cut: int | None = None
    """After so many events of the log the connection is cut, once."""
    status: int = 200
    text: str = ""
    revisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Definitions by digest, of the Workflow `sales`."""
    archived: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Objects by name, of executions that are only in the journal."""
    authorizations: set[str] = field(default_factory=set)
    signals: list[dict[str, Any]] = field(default_factory=list)
    """All that were sent, also those that it did not take."""
    conversations: MemoryConversations = field(default_factory=lambda: MemoryConversations(time.time))
    unready: int = 0
    """So many signals come too early."""

    async def listed(self, request: web.Request) -> web.StreamResponse:
        """The archive, or who waits for a turn."""
        if request.query == {"queued": "true"}:
            return web.json_response({"items": [{"name": "b", "position": 2, "of": 5}]})
        assert request.query == {"archived": "true"}
        return web.json_response({"items": [*self.archived.values()], "more": len(self.archived) > 2})

    async def past(self, request: web.Request) -> web.StreamResponse:
        """The revisions of a Workflow, or one of them."""
        given = request.match_info.get("revision")
        if given is None:
            shown = [
                {"revision": digest[:12], "firstAt": 1e5, "lastAt": 2e5, "executions": 3}
                for digest in self.revisions
            ]
            return web.json_response(shown)
        for digest, document in self.revisions.items():
            if digest.startswith(given):
                return web.json_response({"revision": digest[:12], "document": document})
        text = f"Workflow sales: found no execution that ran by revision {given}"
        return web.Response(status=404, text=text)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.add(request.headers.get("Authorization", ""))
        if request.method == "POST":
            return await self._take(request)
        if self.status != 200:
            return web.Response(status=self.status, text=self.text)
        name = request.match_info["path"].partition("/")[0]
        archived = self.archived.get(name) if request.query.get("archived") == "true" else None
        if archived is None and "archived" in request.query:
            return web.Response(status=404, text=f"Execution {name} is not in the archive of namespace team")
        if request.path.endswith("/outputs"):
            return web.json_response(self.outputs)
        if request.path.endswith("/connections"):
            return web.json_response(self.connections)
        if request.path.endswith("/changes"):
            return await self._tell(request, name)
        if not request.path.endswith("/logs"):
            answered = {"steps": self.steps, "startedAt": 1.0, "finishedAt": 2.5}
            return web.json_response(answered | ({"object": archived} if archived else {}))
        answer = web.StreamResponse()
        await answer.prepare(request)
        for index, chunk in enumerate(self.log):
            if index == self.cut:
                self.cut = None
                assert request.transport is not None
                request.transport.close()
                return answer
            await answer.write(f"event: log\ndata: {json.dumps(chunk)}\n\n".encode())
        await answer.write(b"event: end\ndata: {}\n\n")
        return answer

    async def _tell(self, request: web.Request, name: str) -> web.StreamResponse:
        """All steps, then all of them again when they have changed, until the execution has ended."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        before: list[dict[str, Any]] | None = None
        over = False
        while not over:
            over = "archived" in request.query or self._has_ended(name)
            steps = self.within.get(name, self.steps)
            if steps != before:
                view = {"steps": steps, "startedAt": 1.0, "finishedAt": 2.5 if over else None}
                await answer.write(f"event: changes\ndata: {json.dumps(view)}\n\n".encode())
                before = list(steps)
                if self.cut is not None:
                    self.cut = None
                    assert request.transport is not None
                    request.transport.close()
                    return answer
            await asyncio.sleep(0.02)
        view = {"steps": [], "startedAt": 1.0, "finishedAt": 2.5}
        await answer.write(f"event: changes\ndata: {json.dumps(view)}\n\nevent: end\ndata: {{}}\n\n".encode())
        return answer

    def _has_ended(self, name: str) -> bool:
        assert self.cluster is not None
        found = self.cluster.objects.get(f"{NAMESPACE}/executions/{name}") or {}
        return (found.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Cancelled", "TimedOut")

    async def _take(self, request: web.Request) -> web.Response:
        self.signals.append(await request.json())
        self.unready -= 1
        if self.unready >= 0:
            text = "Execution sales-1 is not known to the journal yet; send the signal again"
            return web.Response(status=409, text=text)
        if self.status != 200:
            return web.Response(status=self.status, text=self.text)
        return web.json_response({}, status=202)


@dataclass
class Cli:
    """The command line, and all that it talks to."""

    api: FakeApi
    citadel: FakeCitadel
    folder: Path

    async def run(
        self, *args: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        program = str(Path(sys.executable).with_name("citadel"))
        return await self.run_program(program, *args, stdin=stdin, env=env)

    async def run_program(
        self, program: str, *args: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """The same of another program, in the same surroundings."""
        process = await asyncio.create_subprocess_exec(
            program,
            *args,
            env={**self.surroundings, **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment of a program that is run."""
        return {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.folder / "config"),
            "HOME": str(self.folder),
            # Another tree than the installed one, where the tests of that tree run.
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }

    async def execution(self, name: str, spec: dict[str, Any] | None = None, **status: Any) -> None:
        """An Execution in the cluster."""
        await self.put("Execution", "executions", name, spec or {"workflowRef": {"name": "sales"}}, status)

    async def workflow(self, name: str, inputs: dict[str, Any] | None = None) -> None:
        """A Workflow in the cluster."""
        await self.put("Workflow", "workflows", name, {"inputs": inputs, "steps": []}, {})

    async def put(
        self, kind: str, plural: str, name: str, spec: dict[str, Any], status: dict[str, Any]
    ) -> None:
        metadata = {"name": name, "namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z"}
        body = {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        await self.api.change("ADDED", f"{NAMESPACE}/{plural}/{name}", {**body, "status": status})

    def objects(self, plural: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return [obj for path, obj in self.api.objects.items() if path.startswith(f"{NAMESPACE}/{plural}/")]

    def refuse(self, text: str) -> None:
        """From now on kubectl forwards nothing, and says this."""
        (self.folder / "refusal").write_text(text)

    @property
    def kubectl(self) -> list[str]:
        """What kubectl was called with."""
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def forwarding(self) -> bool:
        """Whether the last kubectl still runs."""
        try:
            os.kill(int((self.folder / "pid").read_text()), 0)
        except ProcessLookupError:
            return False
        return True


class Permitting(Access):
    """Lets everybody do everything, in a namespace that was always there."""

    def __init__(self) -> None:
        pass

    async def require(self, *_: Any, **__: Any) -> None:
        pass

    async def who(self, _: web.Request) -> Jane:
        return Jane("jane", ())

    async def since(self, _: str) -> float:
        return 0.0


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    """The command line for user `jane` in namespace `team`, whose cluster knows Citadel's CA."""
    citadel = FakeCitadel()
    now = datetime.now(UTC)
    authority = new_authority("citadel", now)
    pair = issue(authority, Identity(["citadel-api.citadel-system.svc"]), now)
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/team/executions", citadel.listed)
    app.router.add_get("/api/v1/namespaces/team/executions/{path:.*}", citadel.handle)
    for path in ("revisions", "revisions/{revision}"):
        app.router.add_get(f"/api/v1/namespaces/team/workflows/sales/{path}", citadel.past)
    app.router.add_post("/api/v1/namespaces/team/executions/{path:.*}", citadel.handle)
    MemoryRoutes(citadel.conversations, Permitting(), Permitting().who, Permitting().since).add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    kubectl = _KUBECTL.format(
        python=sys.executable,
        log=str(tmp_path / "log"),
        refusal=str(tmp_path / "refusal"),
        pid=str(tmp_path / "pid"),
        port=runner.addresses[0][1],
    )
    (tmp_path / "kubectl").write_text(kubectl)
    (tmp_path / "kubectl").chmod(0o755)
    async with serve_fake_api() as api:
        citadel.cluster = api
        published = {
            "metadata": {"name": "citadel-ca", "namespace": "citadel-system"},
            "data": {"ca.crt": authority.certificate.decode()},
        }
        await api.change("ADDED", "/api/v1/namespaces/citadel-system/configmaps/citadel-ca", published)
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "jane", "namespace": "team"}}],
            "clusters": [{"name": "c", "cluster": {"server": api.url}}],
            "users": [{"name": "jane", "user": {"token": "janes-token"}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        yield Cli(api, citadel, tmp_path)
    await runner.cleanup()
