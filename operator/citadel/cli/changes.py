"""The steps of an execution of the cluster as they change, and those of the executions that they wait for.

The api tells what has changed; nothing is asked for again unless the connection broke. Reads only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from citadel.api.reasons import StepStatus
from citadel.cli.remote import ExitCode, Refused
from citadel.cli.steps import Tree, rows_of_json
from citadel.core.telling import Told

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api

#: How many executions within one are followed at a time.
MOST_WITHIN = 20
#: Seconds until it is asked again for what is not there yet, or cannot be reached.
_AGAIN = 1.0
#: Seconds for which a connection that breaks is tried again.
_PATIENCE = 60.0


def ahead_of(view: Mapping[str, Any]) -> float:
    """How much later it was where this was told than it is here."""
    now = view.get("now")
    return 0.0 if now is None else float(now) - time.time()


class Steps:
    """The steps of one execution, and of those within it down to `depth`; `tree` is changed in place."""

    def __init__(self, api: "Api", name: str, depth: int, changed: asyncio.Event) -> None:
        self._api, self._name, self._depth, self._changed = api, name, depth, changed
        self._open: dict[str, tuple[str, asyncio.Task[None]]] = {}
        """The executions that are followed, by the steps that wait for them."""
        self._waiting: dict[str, tuple[str, int]] = {}
        """Those that are not followed yet, and how deep."""
        self.tree = Tree()
        self.head: Mapping[str, Any] | None = None
        """What was told last of the execution itself."""
        self.ahead = float("-inf")
        """How much later it is there, as far as is known."""
        self.over = asyncio.Event()
        """That it has ended is known: what the journal does not have by now, it never will."""

    async def follow(self) -> None:
        """Keeps the tree until the execution has ended; raises Refused."""
        try:
            await self._follow(self._name, "", self._depth)
            left = [task for _, task in self._open.values()]
            if left:
                await asyncio.wait(left, timeout=_AGAIN)
        finally:
            for _, task in self._open.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._open.values()), return_exceptions=True)

    async def _follow(self, name: str, within: str, depth: int) -> None:
        async for fresh, view in self._views(name):
            if fresh:
                self.tree.clear(within)
            rows = rows_of_json(view["steps"])
            self.tree.put(rows, within)
            if not within:
                self.head = view
                # Every telling takes its time to come: the quickest says it best.
                self.ahead = max(self.ahead, ahead_of(view))
            if depth > 0:
                self._look_within(rows, within, depth)
            self._changed.set()

    def _look_within(self, rows: Iterable[Told], within: str, depth: int) -> None:
        """Follows the executions that steps wait for. Those that did well are of least interest."""
        past: list[tuple[str, str]] = []
        for row in rows:
            step = f"{within}/{row.name}" if within else row.name
            if not row.execution or self._open.get(step, ("",))[0] == row.execution:
                continue
            self._waiting.pop(step, None)
            if row.status == StepStatus.SUCCEEDED:
                past.append((step, row.execution))
            else:
                self._waiting[step] = row.execution, depth
        left = [(step, name, level) for step, (name, level) in self._waiting.items()]
        for step, name, level in (*left, *((step, name, depth) for step, name in past)):
            if sum(not task.done() for _, task in self._open.values()) >= MOST_WITHIN:
                return
            self._waiting.pop(step, None)
            if (before := self._open.get(step)) is not None:
                before[1].cancel()
                self.tree.clear(step)
            self._open[step] = name, asyncio.create_task(self._within(name, step, level - 1))

    async def _within(self, name: str, step: str, depth: int) -> None:
        try:
            await self._follow(name, step, depth)
        except Refused:
            return  # deleted, or not for this user: the step that waits for it is shown all the same

    async def _views(self, name: str) -> AsyncIterator[tuple[bool, Mapping[str, Any]]]:
        """What is told of an execution, and whether it is all of it; raises Refused."""
        from citadel.cli.logs import server_sent
        from citadel.cli.tunnel import NotStarted, TunnelClosed

        give_up: float | None = None
        tries = 0
        while True:
            tries += self.over.is_set()
            try:
                fresh = True
                async with self._api.open(f"{name}/changes") as answer:
                    async for kind, view in server_sent(answer.content.iter_any()):
                        give_up = None
                        if kind == "end":
                            return
                        yield fresh, view
                        fresh = False
                raise TunnelClosed("the api ended before the execution did")
            except NotStarted:
                if self.over.is_set():
                    return
            except TunnelClosed as error:
                give_up = give_up or time.monotonic() + _PATIENCE
                if time.monotonic() > give_up or tries > 1:
                    raise Refused(str(error), ExitCode.UNREACHABLE) from error
            try:
                await asyncio.wait_for(self.over.wait(), _AGAIN)
                await asyncio.sleep(_AGAIN / 10)
            except TimeoutError:
                continue
