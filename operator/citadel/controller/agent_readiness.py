"""Whether Agents can be run: all that is missing or incompatible stands in one condition."""

from collections.abc import AsyncIterator
from contextlib import suppress

from citadel.controller.agents import Agents, FoundAgent, read_agent
from citadel.controller.checking import Unusable, together
from citadel.controller.objects import not_ready
from citadel.controller.readiness import RECHECK, Readiness
from citadel.controller.tools import READ_AGAIN, read_tool
from citadel.kube.cache import Cache
from citadel.kube.resources import AGENTS, MODELS, RUNTIMES, TOOLS, Object, Resource


class AgentReadiness:
    """Reconciles the status of Agents."""

    def __init__(self, cache: Cache, agents: Agents, readiness: Readiness, shared: str) -> None:
        self._cache, self._agents, self._readiness = cache, agents, readiness
        self.shared = shared

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Agent; returns seconds after which to look again."""
        obj = self._cache.get(AGENTS, namespace, name)
        if obj is None:
            return None
        try:
            agent = read_agent(obj)
        except Unusable as invalid:
            await self._readiness.write(AGENTS, obj, invalid)
            return None
        circle = await self._agents.circle(agent)
        problems = await self._agents.problems(agent, namespace, circle)
        problem = together([*problems, *await self._of_others(agent)])
        await self._readiness.write(AGENTS, obj, problem, tools=len(agent.spec.tools))
        if problem is not None:
            return RECHECK
        return READ_AGAIN if agent.spec.system_from is not None else None

    async def _of_others(self, agent: FoundAgent) -> list[Unusable]:
        """What it names that is there, and cannot be used itself."""
        found = []
        async for place, kind, obj in self._named(agent):
            # Agents that lead back to each other would tell each other's messages for ever.
            if obj is None or (kind == "Agent" and self._leads_to(obj, agent.key)):
                continue
            if (problem := not_ready(obj, kind)) is not None:
                found.append(problem.within(f"Agent {agent.name}, {place}"))
        return found

    async def _named(self, agent: FoundAgent) -> AsyncIterator[tuple[str, str, Object | None]]:
        """What an agent names: where, of which kind, and what is there."""
        spec, namespace = agent.spec, agent.namespace
        yield "model", "Model", self._seen(MODELS, agent, spec.model)
        yield "runtime", "Runtime", self._seen(RUNTIMES, agent, spec.runtime)
        for entry in spec.tools:
            place = f"tool {entry.name}"
            with suppress(Unusable):  # told as missing, or as what it cannot be read for
                if entry.tool is not None:
                    obj = self._seen(TOOLS, agent, entry.tool)
                    tool = read_tool(obj) if obj else await self._agents.tools.find(namespace, entry.tool)
                    yield place, "Tool", tool.obj
                elif entry.agent is not None:
                    obj = self._seen(AGENTS, agent, entry.agent)
                    inner = read_agent(obj) if obj else await self._agents.find(namespace, entry.agent)
                    yield place, "Agent", inner.obj
        told = {("Runtime", spec.runtime), *(("Tool", entry.tool) for entry in spec.tools)}
        told |= {("Agent", entry.agent) for entry in spec.tools}
        for kind, resource, names in (
            ("Agent", AGENTS, spec.depends_on.agents),
            ("Tool", TOOLS, spec.depends_on.tools),
            ("Runtime", RUNTIMES, spec.depends_on.runtimes),
        ):
            for name in (item.name for item in names):
                if (kind, name) not in told:
                    yield "dependsOn", kind, self._seen(resource, agent, name)

    def _leads_to(self, obj: Object, key: str) -> bool:
        """Whether an agent names another one, as a tool or as what it depends on, itself or by others."""
        ahead, met = [obj], set[str]()
        while ahead:
            with suppress(Unusable):  # what cannot be read names nobody
                agent = read_agent(ahead.pop())
                if agent.key == key:
                    return True
                if agent.key in met:
                    continue
                met.add(agent.key)
                names = {entry.agent for entry in agent.spec.tools if entry.agent is not None}
                names |= {item.name for item in agent.spec.depends_on.agents}
                ahead += [inner for name in names if (inner := self._seen(AGENTS, agent, name)) is not None]
        return False

    def _seen(self, resource: Resource, agent: FoundAgent, name: str) -> Object | None:
        """What an agent names, as the watches tell it."""
        objects = (self._cache.get(resource, here, name) for here in (agent.namespace, self.shared))
        return next((obj for obj in objects if obj is not None), None)
