"""What steps of an execution on this machine ask of others: of people, of models, and of tools."""

import asyncio
from collections.abc import Container
from typing import Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.models import Wanted
from citadel.core.models import failed as call_failed
from citadel.core.tools import WantedTool
from citadel.core.tools import failed as tool_failed
from citadel.core.values import Values
from citadel.local.execution import Execution
from citadel.local.means import Means
from citadel.local.outside import Outside
from citadel.store.journal import arguments_of


class Asking:
    """Asks for the steps of one execution, and records the answers."""

    def __init__(self, execution: Execution, means: Means, outside: Outside) -> None:
        self._run, self._means, self._outside = execution, means, outside
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        """Models and tools that are being asked."""

    def give_up(self, *, but: Container[str] = ()) -> None:
        """Waits no longer for models and tools, but for these."""
        for name, asked in self._under_way.items():
            if name not in but:
                asked.cancel()

    async def ask(self, step: str) -> None:
        """Takes what comes from outside for a step that waits for people or a signal."""
        values = Values()
        fact = await self._outside.answer(self._run.state, step, values)
        if fact is not None:
            await self._run.advance([fact], outputs=values.made)

    async def call(self, name: str, call: Wanted) -> None:
        """Asks a model, until nobody waits for the answer any more."""
        given = Values()
        told = await self._outside.asked(call, given)
        if told is not None:
            await self._run.advance([told], outputs=given.made)
            return
        models, accounts = self._means.models, self._run.accounts(call.step)
        asked = asyncio.create_task(models.answer(self._run.uid, call, accounts, self._left(call.until)))
        self._under_way[name] = asked
        try:
            await asyncio.wait((asked,))
            if asked.cancelled():
                usage = await models.usage(self._run.uid, call, accounts)
                await self._run.advance([call_failed(call, Reason.CANCELLED, "cancelled", usage)])
                return
            fact, values = asked.result()
            await self._run.advance([fact], outputs=values.made)
        finally:
            asked.cancel()
            del self._under_way[name]

    async def use(self, name: str, use: WantedTool) -> None:
        """Calls a tool, until nobody waits for it any more."""
        arguments = await arguments_of(self._run.journal, self._run.uid, use.payload)
        values = Values()
        fact = await self._outside.used(use, arguments, values)
        if fact is None:
            servers, left = self._means.servers, self._left(use.until)
            asked = self._under_way[name] = asyncio.create_task(
                servers.call(self._run.uid, use, arguments, left)
            )
            try:
                await asyncio.wait((asked,))
            finally:
                asked.cancel()
                del self._under_way[name]
            if asked.cancelled():
                fact = tool_failed(use, Reason.CANCELLED, "cancelled")
            elif isinstance(found := asked.result(), Failure):
                fact = ev.ToolAnswered(use.step, use.attempt, None, found)
            else:
                fact = ev.ToolAnswered(use.step, use.attempt, values.put(found))
        await self._run.advance([fact], outputs=values.made)

    def _left(self, until: float | None) -> float | None:
        """Seconds that are left until then."""
        return None if until is None else max(0.0, until - self._run.clock.time())
