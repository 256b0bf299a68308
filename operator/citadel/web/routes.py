"""The API's paths. Every answer is preceded by the cluster's word on who may have it."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from aiohttp import web

from citadel.api.cassette import VERSION, Cassette, on_the_wire
from citadel.core.admission import ticket_of
from citadel.core.instances import is_meant
from citadel.core.usage import UsageOf, spent
from citadel.kube.client import KubeClient
from citadel.kube.errors import ApiError, NotFound
from citadel.kube.resources import EXECUTIONS, NAMESPACES, WORKFLOWS
from citadel.store.admissions import Admissions
from citadel.store.archive import Archive
from citadel.store.connections import MOST_OF_ONE, ConnectionLog
from citadel.store.conversations import Conversations
from citadel.store.journal import ExecutionUnknown, Journal, JournalUnavailable, json_of
from citadel.store.model_records import ModelRecords
from citadel.store.recordings import recorded
from citadel.store.revisions import NoRevision, Revisions, short
from citadel.store.signals import Signals
from citadel.store.waking import Waker
from citadel.web.access import Access, Denied, Identity, Unauthenticated
from citadel.web.describing import MOST_LISTED, described, listed, object_of, queued
from citadel.web.following import changes, follow
from citadel.web.memory import MemoryRoutes
from citadel.web.signals import MAX_REQUEST, read_signal

log = logging.getLogger(__name__)

_EXECUTION = "/api/v1/namespaces/{namespace}/executions/{name}"
_REVISIONS = "/api/v1/namespaces/{namespace}/workflows/{name}/revisions"


class Routes:
    """Handlers of the API."""

    def __init__(
        self,
        kube: KubeClient,
        journal: Journal,
        access: Access,
        waker: Waker,
        connections: ConnectionLog,
        revisions: Revisions,
        archive: Archive,
        signals: Signals,
        admissions: Admissions,
        conversations: Conversations,
        usage: UsageOf | None = None,
        records: ModelRecords | None = None,
    ) -> None:
        self._kube, self._journal, self._access, self._waker = kube, journal, access, waker
        self._connections, self._revisions, self._archive = connections, revisions, archive
        self._signals, self._admissions, self._usage = signals, admissions, usage
        self._memory = MemoryRoutes(conversations, access, self._who, self._since)
        self._conversations, self._records = conversations, records

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[errors], client_max_size=MAX_REQUEST)
        app.router.add_get(_EXECUTION.removesuffix("/{name}"), self.executions)
        app.router.add_get(_EXECUTION, self.execution)
        app.router.add_get(f"{_EXECUTION}/outputs", self.outputs)
        app.router.add_get(f"{_EXECUTION}/recording", self.recording)
        app.router.add_get(f"{_EXECUTION}/logs", self.logs)
        app.router.add_get(f"{_EXECUTION}/changes", self.changes)
        app.router.add_get(f"{_EXECUTION}/connections", self.connections)
        app.router.add_get(_REVISIONS, self.revisions)
        app.router.add_get(f"{_REVISIONS}/{{revision}}", self.revision)
        app.router.add_post(f"{_EXECUTION}/signals", self.signal)
        self._memory.add_to(app)
        return app

    async def execution(self, request: web.Request) -> web.Response:
        """Every step of an execution, as the journal has it; of the archive also the object that it was."""
        uid = await self._uid(request, "")
        state = await spent(await self._journal.read(uid), uid, self._usage)
        answer = described(state)
        if (ticket := ticket_of(state)) is not None:
            answer |= queued(ticket, await self._admissions.standing(ticket))
        if _archived(request):
            answer["object"] = await object_of(state, self._journal)
        return web.json_response(answer)

    async def executions(self, request: web.Request) -> web.Response:
        """The archive of a namespace, or who waits there for its turn; all others the API server lists."""
        queued = request.query.get("queued") == "true"
        if not _archived(request) and not queued:
            raise web.HTTPBadRequest(text="archived: expected true; the API server lists the others")
        who, namespace = await self._who(request), request.match_info["namespace"]
        await self._access.require(who, "list", "", namespace, "")
        if queued:
            places = await self._admissions.waiting(namespace)
            return web.json_response({"items": [asdict(place) for place in places]})
        found = await self._archive.of(namespace, await self._since(namespace), MOST_LISTED + 1)
        items = [listed(row) for row in found[:MOST_LISTED]]
        return web.json_response({"items": items, "more": len(found) > MOST_LISTED})

    async def outputs(self, request: web.Request) -> web.Response:
        """The outputs of an execution, or of the step that `step` names; null while there are none."""
        step = request.query.get("step")
        # What steps hand to each other tells as much as a log; the execution's own outputs are in its status.
        uid = await self._uid(request, "" if step is None else "log")
        state = await self._journal.read(uid)
        if step is not None:
            if step not in state.steps:
                raise web.HTTPNotFound(text=f"step: found {step!r:.80}, expected a step of this workflow")
            value = state.steps[step].output
        else:
            value = state.finished.outputs if state.finished is not None else None
        if value is None:
            return web.json_response(None)
        return web.json_response(await json_of(self._journal, uid, value))

    async def recording(self, request: web.Request) -> web.Response:
        """What the agents of an execution did, or that of the step that `step` names, to be replayed."""
        # What models answered tells as much as a log.
        uid = await self._uid(request, "log")
        step, state = request.query.get("step"), await self._journal.read(uid)
        if step is not None and step not in state.steps:
            raise web.HTTPNotFound(text=f"step: found {step!r:.80}, expected a step of this workflow")
        assert state.created is not None
        assert self._records is not None
        recalled = [one for one in await self._conversations.recalled(uid) if step in (None, one.step)]
        who, namespace = await self._who(request), state.created.namespace
        for agent in sorted({one.key.agent for one in recalled}):
            # What was said in earlier executions is not this one's log.
            await self._access.require(who, "get", "memory", namespace, agent, resource="agents")
        cassette = Cassette(
            version=VERSION,
            execution=state.created.name,
            namespace=namespace,
            workflow=state.created.workflow,
            attempts=tuple(await recorded(self._journal, self._records, recalled, state, step)),
        )
        return web.json_response(on_the_wire(cassette))

    async def connections(self, request: web.Request) -> web.Response:
        """What the sandboxes of an execution reached, and what they were refused."""
        # Where steps go tells as much as what they print.
        uid = await self._uid(request, "log")
        rows = [asdict(row) for row in await self._connections.of(uid, MOST_OF_ONE)]
        for row in rows:
            del row["id"], row["uid"]
        return web.json_response(rows)

    async def revisions(self, request: web.Request) -> web.Response:
        """The definitions by which executions of a Workflow ran."""
        namespace, name = await self._workflow(request)
        found = await self._revisions.of(namespace, name)
        return web.json_response(
            [
                {
                    "revision": short(item.digest),
                    "digest": item.digest,
                    "firstAt": item.first_at,
                    "lastAt": item.last_at,
                    "executions": item.executions,
                }
                for item in found
            ]
        )

    async def revision(self, request: web.Request) -> web.Response:
        """One of them as it was pinned, with the code that stood in ConfigMaps."""
        namespace, name = await self._workflow(request, "log")
        try:
            digest, document = await self._revisions.document(namespace, name, request.match_info["revision"])
        except NoRevision as error:
            raise web.HTTPNotFound(text=str(error)) from None
        return web.json_response({"revision": short(digest), "digest": digest, "document": document})

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Log chunks as server-sent events: `log` for each, `end` when there are no more.

        An answer that ends without `end` is not whole: the journal went away. Comments come when nothing else
        does.
        """
        uid = await self._uid(request, "log")
        only = request.query.get("step")
        state = await self._journal.read(uid)
        # One that has not come about yet is known by its definition.
        known = {*state.steps, *(state.plan.steps if state.plan is not None else ())}
        if only is not None and only not in known:
            raise web.HTTPNotFound(text=f"step: found {only!r:.80}, expected a step of this workflow")
        wanted = request.query.get("follow") == "true"

        async def texts() -> AsyncIterator[str]:
            async for chunks in follow(self._journal, self._waker, uid, to_the_end=wanted):
                events = (asdict(chunk) for chunk in chunks if only is None or is_meant(chunk.step, only))
                text = "".join(_event("log", event) for event in events)
                if text or not chunks:
                    yield text

        return await _sent(request, uid, texts())

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """An execution as it goes on, as server-sent events: `changes` with all steps, then with those that
        have changed, and `end` when it has ended. What holds for the log's answer holds for this one."""
        uid = await self._uid(request, "")
        await self._journal.read(uid)

        async def texts() -> AsyncIterator[str]:
            async for view in changes(self._journal, self._waker, uid, self._usage):
                yield "" if view is None else _event("changes", view)

        return await _sent(request, uid, texts())

    async def signal(self, request: web.Request) -> web.Response:
        """Takes a signal for an execution; one of the same name and key again is the same signal."""
        uid = await self._uid(request, "signal", "create")
        signal = await read_signal(request, uid)
        name = request.match_info["name"]
        try:
            state = await self._journal.read(uid)
            if state.finished is not None:
                text = f"Execution {name} has ended ({state.finished.phase}): it takes no signals"
                return web.Response(status=409, text=text)
            await self._signals.send(signal)
        except ExecutionUnknown:
            text = f"Execution {name} is not known to the journal yet; send the signal again"
            return web.Response(status=409, text=text, headers={"Retry-After": "1"})
        return web.json_response({"name": signal.name, "key": signal.key}, status=202)

    async def _who(self, request: web.Request) -> Identity:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        return await self._access.identity(request.headers.get("Authorization", ""), certificate)

    async def _workflow(self, request: web.Request, of_executions: str | None = None) -> tuple[str, str]:
        """Namespace and name of the Workflow a request names, which may be gone, once its sender may read it.

        And, where asked for, that of all the executions of the namespace: what they ran tells as much.
        """
        who = await self._who(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        try:
            WORKFLOWS.path(namespace, name)
        except ValueError:
            raise web.HTTPNotFound(text=f"found {name!r:.80}, expected the name of a Workflow") from None
        await self._access.require(who, "get", "", namespace, name, resource="workflows")
        if of_executions is not None:
            await self._access.require(who, "get", of_executions, namespace, "")
        return namespace, name

    async def _uid(self, request: web.Request, subresource: str, verb: str = "get") -> str:
        """The uid of the execution a request names, once its sender may do that with it."""
        who = await self._who(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        try:
            EXECUTIONS.path(namespace, name)
        except ValueError:
            raise web.HTTPNotFound(text=f"found {name!r:.80}, expected the name of an Execution") from None
        await self._access.require(who, verb, subresource, namespace, name)
        if _archived(request):
            row = await self._archive.find(namespace, name, await self._since(namespace))
            if row is None:
                text = f"Execution {name} is not in the archive of namespace {namespace}"
                raise web.HTTPNotFound(text=text)
            return row.uid
        found = await self._kube.get(EXECUTIONS, name, namespace)
        return str(found["metadata"]["uid"])

    async def _since(self, namespace: str) -> float:
        """When a namespace was made: what ran in another one of this name is none of its people's business.

        One that is gone is asked about only by those who may read all.
        """
        try:
            found = await self._kube.get(NAMESPACES, namespace)
        except NotFound:
            return 0.0
        return datetime.fromisoformat(found["metadata"]["creationTimestamp"]).timestamp()


async def _sent(request: web.Request, uid: str, texts: AsyncIterator[str]) -> web.StreamResponse:
    """Sends events as they come, a comment for an empty text, and the end."""
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        async for text in texts:
            await response.write(text.encode() or b": nothing new\n\n")
    except (JournalUnavailable, ExecutionUnknown) as error:
        # No other answer can follow one that has begun: a cut connection tells that it is not whole.
        log.warning("what is told of execution %s is cut: %s", uid, error)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write(_event("end", {}).encode())
    return response


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _archived(request: web.Request) -> bool:
    """Whether an execution is meant whose object is gone."""
    return request.query.get("archived") == "true"


@web.middleware
async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """What goes wrong, as a status and one sentence."""
    try:
        answer: web.StreamResponse = await handler(request)
    except Unauthenticated as error:
        return web.Response(status=401, text=str(error))
    except Denied as error:
        return web.Response(status=403, text=str(error))
    except NotFound:
        return web.Response(status=404, text=f"Execution {request.match_info.get('name')} does not exist")
    except ExecutionUnknown:
        name = request.match_info.get("name")
        text = f"Execution {name} has not started, or the journal keeps it no longer"
        return web.Response(status=404, text=text)
    except JournalUnavailable:
        return web.Response(status=503, text="the journal is away; try again")
    except ApiError as error:
        log.warning("the API server: %s", error)
        return web.Response(status=502, text="the API server does not answer as expected; try again")
    return answer
