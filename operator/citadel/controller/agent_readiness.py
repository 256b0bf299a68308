"""Whether Agents can be run: all that is missing or incompatible stands in one condition."""

from contextlib import suppress

from citadel.controller.agents import Agents, FoundAgent, read_agent, together
from citadel.controller.checking import Unusable
from citadel.controller.objects import not_ready
from citadel.controller.readiness import RECHECK, Readiness
from citadel.controller.tools import READ_AGAIN, read_tool
from citadel.kube.cache import Cache
from citadel.kube.resources import AGENTS, MODELS, TOOLS, Object, Resource


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
        # Agents that lead back to each other would tell each other's messages for ever.
        problem = together([*problems, *await self._of_others(agent, in_circle=bool(circle))])
        await self._readiness.write(AGENTS, obj, problem, tools=len(agent.spec.tools))
        if problem is not None:
            return RECHECK
        return READ_AGAIN if agent.spec.system_from is not None else None

    async def _of_others(self, agent: FoundAgent, *, in_circle: bool) -> list[Unusable]:
        """Its model, tools and agents that are there, and cannot be used themselves."""
        namespace = agent.namespace
        named = [("model", "Model", self._seen(MODELS, agent, agent.spec.model))]
        for entry in agent.spec.tools:
            place = f"tool {entry.name}"
            with suppress(Unusable):  # told as missing, or as what it cannot be read for
                if entry.tool is not None:
                    obj = self._seen(TOOLS, agent, entry.tool)
                    tool = read_tool(obj) if obj else await self._agents.tools.find(namespace, entry.tool)
                    named.append((place, "Tool", tool.obj))
                elif entry.agent is not None and not in_circle:
                    obj = self._seen(AGENTS, agent, entry.agent)
                    inner = read_agent(obj) if obj else await self._agents.find(namespace, entry.agent)
                    named.append((place, "Agent", inner.obj))
        found = []
        for place, kind, obj in named:
            if obj is not None and (problem := not_ready(obj, kind)) is not None:
                message = f"Agent {agent.name}, {place}: {problem.message}"[:1024]
                found.append(Unusable(problem.reason, message, waits=True))
        return found

    def _seen(self, resource: Resource, agent: FoundAgent, name: str) -> Object | None:
        """What an agent names, as the watches tell it."""
        objects = (self._cache.get(resource, here, name) for here in (agent.namespace, self.shared))
        return next((obj for obj in objects if obj is not None), None)
