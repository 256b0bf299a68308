"""The API over a real journal: who may read what, and what they get."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import build
from build import begin, chain, failed, pinned, stored, succeeded
from citadel.cli.logs import server_sent
from citadel.core import events as ev
from citadel.kube.client import KubeClient
from citadel.store.connections import ConnectionRow
from citadel.store.journal import LogChunk
from citadel.store.signals import SignalRow
from citadel.store.sql.database import Database, open_database
from citadel.store.waking import Waker
from citadel.web.access import Access
from citadel.web.routes import Routes
from component.kube.fakeapi import FakeApi
from component.postgres import PostgresServer

PATH = "/api/v1/namespaces/team/executions/run"
ALLOWED = {"reader": {""}, "auditor": {"", "log"}, "sender": {"signal"}, "stranger": set[str]()}


class Reviewing(FakeApi):
    """An API server that knows three users by their tokens, and what they may."""

    async def _route(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/tokenreviews"):
            body = await request.json()
            name = body["spec"]["token"]
            status = {"authenticated": name in ALLOWED, "user": {"username": name}}
            return web.json_response({**body, "status": status}, status=201)
        if request.path.endswith("/subjectaccessreviews"):
            body = await request.json()
            wanted = body["spec"]["resourceAttributes"]
            may = wanted.get("subresource", "") in ALLOWED[body["spec"]["user"]]
            return web.json_response({**body, "status": {"allowed": may}}, status=201)
        return await super()._route(request)


@dataclass
class Api:
    """The API, its database, and its client."""

    cluster: FakeApi
    database: Database
    client: aiohttp.ClientSession
    url: str

    async def get(self, path: str = "", user: str = "auditor") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        async with self.client.get(self.url + PATH + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def signal(self, body: Any, user: str = "sender") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.url}{PATH}/signals"
        async with self.client.post(url, headers=headers, data=io.BytesIO(data)) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str = "") -> Any:
        status, text = await self.get(path)
        assert status == 200, text
        return json.loads(text)


async def listen(stack: AsyncExitStack, app: web.Application) -> str:
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


@pytest.fixture
async def api(postgres_url: str) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        cluster = Reviewing()
        server = web.Application()
        server.router.add_route("*", "/{path:.*}", cluster.handle)
        cluster.url = await listen(stack, server)
        metadata = {"name": "run", "namespace": "team", "uid": "uid-1"}
        path = "/apis/citadel.dev/v1alpha1/namespaces/team/executions/run"
        await cluster.change("ADDED", path, {"metadata": metadata})
        database = open_database(postgres_url, pool_size=4)
        stack.push_async_callback(database.close)
        kube = await stack.enter_async_context(KubeClient(cluster.config()))
        waker = Waker()
        following = asyncio.create_task(waker.follow(database.journal.listen()))
        stack.push_async_callback(asyncio.gather, following, return_exceptions=True)
        stack.callback(following.cancel)
        url = await listen(
            stack,
            Routes(
                kube,
                database.journal,
                Access(kube),
                waker,
                database.connections,
                database.revisions,
                database.archive,
                database.signals,
                database.admissions,
                database.conversations,
                records=database.model_records,
            ).app(),
        )
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Api(cluster, database, client, url)


async def test_one_that_waits_for_its_turn_is_told_where_it_stands(api: Api) -> None:
    doc = chain(1)
    doc["spec"]["concurrency"] = {"group": "prod", "limit": 2}
    for uid in ("x", "y", "z", "uid-1", "last"):
        created = build.created(uid, doc, name=f"run-{uid}")
        await api.database.journal.advance(uid, [created], definition=doc)
    found = await api.json()
    told = "position 2 of 3 in concurrency group 'prod' (limit 2; running: run-x, run-y)"
    assert (found["phase"], found["reason"], found["message"]) == ("Pending", "ConcurrencyLimit", told)
    queue = {"group": "prod", "limit": 2, "position": 2, "of": 3, "running": ["run-x", "run-y"]}
    assert found["queue"] == queue
    url = f"{api.url}{PATH.removesuffix('/run')}?queued=true"
    async with api.client.get(url, headers={"Authorization": "Bearer reader"}) as answer:
        places = (await answer.json())["items"]
    assert [(place["name"], place["position"], place["of"]) for place in places] == [
        ("run-z", 1, 3),
        ("run-uid-1", 2, 3),
        ("run-last", 3, 3),
    ]
    async with api.client.get(url, headers={"Authorization": "Bearer stranger"}) as answer:
        assert answer.status == 403
    for uid in "xyz":
        await api.database.journal.advance(uid, [ev.StopRequested("Terminate", "Terminated", "")])
    while await api.database.journal.due(10):
        pass
    assert "queue" not in await api.json()


async def test_who_may_read_what_is_the_clusters_word(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    found = {
        (user, path): (await api.get(path, user))[0]
        for user in ("", "nobody", "stranger", "reader", "auditor")
        for path in ("", "/outputs", "/logs")
    }
    refused = {("", 401), ("nobody", 401), ("stranger", 403)}
    for user, status in refused:
        assert {found[user, path] for path in ("", "/outputs", "/logs")} == {status}
    assert [found["reader", path] for path in ("", "/outputs", "/logs")] == [200, 200, 403]
    assert (await api.get("/outputs?step=a", "reader"))[0] == 403
    assert [found["auditor", path] for path in ("", "/outputs", "/logs")] == [200, 200, 200]


async def test_connections_are_shown_to_whom_the_log_is(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    row = ConnectionRow(
        "c1", "uid-1", "s0", 1, "cx-0", 5.0, "api.example.com", 443, "", "refused", "no", 0, 0, 0.0
    )
    await api.database.connections.record([row])
    assert (await api.get("/connections", "reader"))[0] == 403
    (found,) = await api.json("/connections")
    assert found == {name: value for name, value in asdict(row).items() if name not in ("id", "uid")}


async def test_revisions_are_listed_to_readers_and_shown_to_whom_logs_are(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    revisions = api.url + PATH.removesuffix("/executions/run") + "/workflows/flow/revisions"

    async def asked(user: str, path: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {user}"}
        async with api.client.get(revisions + path, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.status == 200 else text

    assert (await asked("stranger"))[0] == 403
    status, (only,) = await asked("reader")
    digest = pinned(chain(1))
    assert (status, only["digest"], only["executions"]) == (200, digest, 1)
    assert only["revision"] == digest.removeprefix("sha256:")[:12]
    assert only["firstAt"] == only["lastAt"]
    path = f"/{only['revision']}"
    assert await asked("reader", path) == (403, "user reader may not get executions/log in namespace team")
    status, found = await asked("auditor", path)
    assert (status, found["digest"], found["document"]) == (200, digest, chain(1))
    status, text = await asked("auditor", "/00000000")
    assert status == 404
    assert text.startswith("Workflow flow: found no execution that ran by revision 00000000; the last")
    # Another namespace, another workflow: nothing of this one.
    elsewhere = revisions.replace("/flow/", "/other/")
    async with api.client.get(elsewhere, headers={"Authorization": "Bearer auditor"}) as answer:
        assert await answer.json() == []


async def test_refusals_say_why_and_nothing_about_the_execution(api: Api) -> None:
    assert (await api.get("/logs", "reader"))[1] == (
        "user reader may not get executions/log in namespace team"
    )
    assert "run" not in (await api.get("", ""))[1]


async def test_every_step_is_described(api: Api) -> None:
    journal = api.database.journal
    sandbox = next(iter((await begin(journal, chain(2))).state.sandboxes))
    await journal.advance("uid-1", [succeeded("s0", sandbox, 1)], claim=sandbox)
    await journal.advance("uid-1", [failed("s1", sandbox)])
    found = await api.json()
    assert (found["phase"], found["reason"]) == ("Failed", "Error")
    assert [(step["name"], step["status"], step["reason"]) for step in found["steps"]] == [
        ("s0", "Succeeded", None),
        ("s1", "Failed", "Error"),
    ]


async def test_what_a_step_waits_for_is_told(api: Api) -> None:
    definition = build.definition({"name": "paid", "wait": {"signal": "payment"}})
    journal = api.database.journal
    await journal.advance("uid-1", [build.created("uid-1", definition)], definition=definition)
    (step,) = (await api.json())["steps"]
    assert (step["status"], step["reason"], step["message"]) == (
        "Waiting",
        "WaitingForSignal",
        "waits for signal payment",
    )


async def test_outputs_of_steps_and_of_the_execution_are_whole_however_large(api: Api) -> None:
    journal = api.database.journal
    definition = chain(1) | {"spec": chain(1)["spec"] | {"outputs": {"x": "${steps.s0.output}"}}}
    sandbox = next(iter((await begin(journal, definition)).state.sandboxes))
    assert await api.json("/outputs") is None
    assert await api.json("/outputs?step=s0") is None
    large = ["é" * 1000] * 50
    value, bodies = stored(large)
    await journal.advance("uid-1", [ev.AttemptSucceeded("s0", 1, sandbox, value)], outputs=bodies)
    assert await api.json("/outputs?step=s0") == large
    assert await api.json("/outputs") == {"x": large}
    status, text = await api.get("/outputs?step=nonsense")
    assert (status, text) == (404, "step: found 'nonsense', expected a step of this workflow")


def chunk(n: int, text: str, stream: str = "stdout", step: str = "s0") -> LogChunk:
    return LogChunk(step, 1, n, stream, "2026-01-31T12:00:00.000Z", text)


def events(text: str) -> list[str]:
    """The texts of log events, and the names of all others."""
    found = []
    for event in text.strip().split("\n\n"):
        name, _, data = event.partition("\ndata: ")
        found.append(json.loads(data)["text"] if name == "event: log" else name)
    return found


async def test_logs_are_events_and_end(api: Api) -> None:
    journal = api.database.journal
    await begin(journal, chain(2))
    await journal.append_logs("uid-1", [chunk(0, "a\n\nevent: end"), chunk(1, "b", step="s1")])
    assert events((await api.get("/logs"))[1]) == ["a\n\nevent: end", "b", "event: end"]
    assert events((await api.get("/logs?step=s1"))[1]) == ["b", "event: end"]


async def test_a_followed_log_comes_as_it_is_written_and_ends_with_the_execution(api: Api) -> None:
    journal = api.database.journal
    sandbox = next(iter((await begin(journal, chain(1))).state.sandboxes))
    headers = {"Authorization": "Bearer auditor"}
    async with (
        asyncio.timeout(8),
        api.client.get(f"{api.url}{PATH}/logs?follow=true", headers=headers) as answer,
    ):
        for number in range(3):
            await journal.append_logs("uid-1", [chunk(number, f"line {number}")])
            async for line in answer.content:
                if f"line {number}".encode() in line:
                    break
        await journal.append_logs("uid-1", [chunk(2**31 - 1, "", "end")])
        await journal.advance("uid-1", [succeeded("s0", sandbox)])
        assert (await answer.read()).decode().strip().endswith("event: end\ndata: {}")


async def test_what_does_not_exist_is_not_found_in_words(api: Api) -> None:
    assert await api.get() == (
        404,
        "Execution run has not started, or the journal keeps it no longer",
    )
    other = api.url + PATH.replace("/run", "/other")
    headers = {"Authorization": "Bearer auditor"}
    async with api.client.get(other, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (404, "Execution other does not exist")
    for name in ("a%2Fb", "%2E%2E", "a%3Fb"):
        async with api.client.get(f"{other[:-6]}/{name}", headers=headers) as answer:
            assert answer.status == 404, name


async def test_while_the_journal_or_the_cluster_is_away_it_says_so(
    api: Api, postgres_server: PostgresServer
) -> None:
    await begin(api.database.journal, chain(1))
    postgres_server.stop()
    try:
        assert (await api.get())[0] == 503
        assert (await api.get("/logs"))[0] == 503
    finally:
        postgres_server.start()
    assert (await api.get())[0] == 200
    api.cluster.forbidden.add("/apis/citadel.dev/v1alpha1/namespaces/team/executions/run")
    assert (await api.get())[0] == 502


PAYMENT = {"name": "payment", "key": "k1", "payload": {"amount": 12.5}}


async def test_a_signal_is_taken_once_from_whom_the_cluster_lets_send_it(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    for user, status in (("", 401), ("nobody", 401), ("stranger", 403), ("auditor", 403)):
        assert (await api.signal(PAYMENT, user))[0] == status, user
    assert await api.database.signals.waiting() == []
    assert (await api.signal(PAYMENT, "auditor"))[1] == (
        "user auditor may not create executions/signal in namespace team"
    )
    for _ in range(2):
        status, text = await api.signal(PAYMENT)
        assert (status, json.loads(text)) == (202, {"name": "payment", "key": "k1"})
    assert await api.database.signals.of("uid-1") == [
        SignalRow("uid-1", "payment", "k1", {"amount": 12.5}),
    ]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the signal: not JSON"),
        (b"[]", 400, "found a JSON array, expected an object with name and key"),
        ({"key": "k"}, 400, "name: found nothing, expected a letter, then at most 62 letters"),
        ({"name": "a b", "key": "k"}, 400, "name: found 'a b', expected a letter"),
        ({"name": "a"}, 400, "key: found nothing, expected 1 to 253 printable characters"),
        ({"name": "a", "key": "x\n"}, 400, "key: found 'x\\n', expected 1 to 253 printable"),
        ({"name": "a", "key": "k", "more": 1}, 400, "more: unknown field, expected name, key, payload"),
        ({"name": "a", "key": "k", "payload": "\0"}, 400, "payload: holds the character U+0000"),
        ({"name": "a", "key": "k", "payload": "x" * (1 << 20)}, 400, "payload: found 1048578 bytes of JSON"),
        ({"name": "a", "key": "k", "payload": "x" * (1 << 21)}, 413, ""),
    ],
)
async def test_what_is_no_signal_is_refused_in_words(api: Api, body: Any, status: int, message: str) -> None:
    await begin(api.database.journal, chain(1))
    found, text = await api.signal(body)
    assert (found, message in text) == (status, True), text
    assert await api.database.signals.waiting() == []


async def test_a_payload_may_be_any_json(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    payloads = [None, 1.5, "text", [], {"a": [None]}, "é" * 500_000]
    for number, payload in enumerate(payloads):
        body = json.dumps({"name": "a", "key": f"k{number}", "payload": payload}, ensure_ascii=False)
        assert (await api.signal(body.encode()))[0] == 202
    assert [row.payload for row in await api.database.signals.of("uid-1")] == payloads


async def test_a_signal_too_early_is_sent_again_and_one_too_late_is_refused(api: Api) -> None:
    status, text = await api.signal(PAYMENT)
    assert (status, text) == (409, "Execution run is not known to the journal yet; send the signal again")
    journal = api.database.journal
    sandbox = next(iter((await begin(journal, chain(1))).state.sandboxes))
    await journal.advance("uid-1", [succeeded("s0", sandbox)])
    status, text = await api.signal(PAYMENT)
    assert (status, text) == (409, "Execution run has ended (Succeeded): it takes no signals")


async def test_an_execution_is_told_as_it_goes_on_until_it_ends(api: Api) -> None:
    journal = api.database.journal
    sandbox = build.only_sandbox(await begin(journal, chain(2)))
    headers = {"Authorization": "Bearer reader"}
    seen: list[tuple[str, dict[str, str]]] = []
    async with api.client.get(f"{api.url}{PATH}/changes", headers=headers) as answer:
        async for name, view in server_sent(answer.content.iter_any()):
            steps = {step["name"]: step["status"] for step in view.get("steps", ())}
            seen.append((view.get("phase", name), steps))
            if len(seen) == 1:
                await journal.advance("uid-1", [succeeded("s0", sandbox)], claim=sandbox)
            if len(seen) == 2:
                await journal.advance("uid-1", [succeeded("s1", sandbox)])
    assert seen == [
        ("Running", {"s0": "Running", "s1": "Pending"}),
        ("Running", {"s0": "Succeeded", "s1": "Running"}),
        ("Succeeded", {"s1": "Succeeded"}),
        ("end", {}),
    ]


async def test_what_goes_on_is_told_to_those_who_may_read_the_execution(api: Api) -> None:
    await begin(api.database.journal, chain(1))
    assert (await api.get("/changes", "stranger"))[0] == 403
