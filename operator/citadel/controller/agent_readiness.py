"""Whether Agents can be run: all that is missing or incompatible stands in one condition."""

from contextlib import suppress

from citadel.controller.agents import Agents, FoundAgent, read_agent, together
from citadel.controller.checking import Unusable
from citadel.controller.objects import not_ready
from citadel.controller.readiness import RECHECK, Readiness
from citadel.controller.tools import READ_AGAIN
from citadel.kube.cache import Cache
from citadel.kube.resources import AGENTS, MODELS, Object


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
        problem = together([*await self._agents.problems(agent, namespace), *await self._of_others(agent)])
        await self._readiness.write(AGENTS, obj, problem, tools=len(agent.spec.tools))
        if problem is not None:
            return RECHECK
        return READ_AGAIN if agent.spec.system_from is not None else None

    async def _of_others(self, agent: FoundAgent) -> list[Unusable]:
        """Its model, tools and agents that are there, and cannot be used themselves."""
        named = [("model", "Model", self._model(agent))]
        # Agents that lead back to each other would tell each other's messages for ever.
        in_circle = bool(await self._agents.circle(agent))
        for entry in agent.spec.tools:
            with suppress(Unusable):  # told as missing
                if entry.tool is not None:
                    tool = await self._agents.tools.find(agent.namespace, entry.tool)
                    named.append((f"tool {entry.name}", "Tool", tool.obj))
                elif entry.agent is not None and not in_circle:
                    inner = await self._agents.find(agent.namespace, entry.agent)
                    named.append((f"tool {entry.name}", "Agent", inner.obj))
        found = []
        for place, kind, obj in named:
            if obj is not None and (problem := not_ready(obj, kind)) is not None:
                message = f"Agent {agent.name}, {place}: {problem.message}"[:1024]
                found.append(Unusable(problem.reason, message, waits=True))
        return found

    def _model(self, agent: FoundAgent) -> Object | None:
        here = (agent.namespace, self.shared)
        objects = (self._cache.get(MODELS, namespace, agent.spec.model) for namespace in here)
        return next((obj for obj in objects if obj is not None), None)
