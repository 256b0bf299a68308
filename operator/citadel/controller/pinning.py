"""What a definition pins of agents and tools: those that steps name, and all that these name."""

from dataclasses import dataclass, field
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.reasons import Reason
from citadel.api.step import Step
from citadel.api.validate import without_nulls
from citadel.api.workflow import WorkflowSpec
from citadel.controller.agents import Agents, check_function
from citadel.controller.checking import Unusable, together

#: Characters of what an agent is told first.
MAX_SYSTEM = 262_144


@dataclass
class Used:
    """Agents and tools of a definition, each as it is pinned."""

    agents: dict[str, Any] = field(default_factory=dict)
    tools: dict[str, Any] = field(default_factory=dict)
    shared_agents: set[str] = field(default_factory=set)
    shared_tools: set[str] = field(default_factory=set)
    runtimes: set[str] = field(default_factory=set)
    """Runtimes that they need."""

    @property
    def document(self) -> dict[str, Any]:
        """What a definition holds of them; nothing where a workflow uses none."""
        found = {
            "agents": self.agents,
            "tools": self.tools,
            "sharedAgents": sorted(self.shared_agents),
            "sharedTools": sorted(self.shared_tools),
        }
        return {name: item for name, item in found.items() if item}


async def used_by(agents: Agents, namespace: str, spec: WorkflowSpec) -> Used:
    """What a workflow uses; raises Unusable for the first step of which something cannot be used."""
    pinner = _Pinner(agents, namespace)
    for path, step in spec.every_step():
        if not isinstance(step, Step):
            continue
        try:
            if step.agent is not None:
                await pinner.agent(namespace, step.agent.name)
            elif step.tool is not None:
                await pinner.tool(namespace, step.tool.name, step.tool.function)
        except Unusable as problem:
            message = f"step {path}: {problem.message}"
            raise Unusable(problem.reason, message[:2048], waits=problem.waits, grace=problem.grace) from None
    return pinner.used


class _Pinner:
    def __init__(self, agents: Agents, namespace: str) -> None:
        self._agents, self._namespace = agents, namespace
        self.used = Used()
        self._names: dict[tuple[str, str], str] = {}
        """By kind and `namespace/name`: what the definition calls it."""

    async def agent(self, namespace: str, name: str) -> str:
        """Pins an Agent and all that it names; what the definition calls it."""
        found = await self._agents.find(namespace, name)
        if (known := self._names.get(("agent", found.key))) is not None:
            return known
        circle = await self._agents.circle(found)
        problem = together(await self._agents.problems(found, self._namespace, circle))
        if problem is not None:
            raise problem
        key = self._name("agent", found.namespace, found.name, self.used.agents)
        if found.namespace != self._namespace:
            self.used.shared_agents.add(key)
        self.used.runtimes.add(found.spec.runtime)
        pinned: dict[str, Any] = without_nulls(AgentSpec, found.obj["spec"])
        self.used.agents[key] = pinned = {k: item for k, item in pinned.items() if k != "systemFrom"}
        system = await self._agents.system(found)
        if system:
            pinned["system"] = system
        if len(system or "") > MAX_SYSTEM:
            told = f"found {len(system or '')} characters, expected at most {MAX_SYSTEM}"
            raise Unusable(Reason.INVALID_SPEC, f"Agent {name}, systemFrom: {told}", waits=True)
        tools = []
        for entry, written in zip(found.spec.tools, pinned.get("tools", ()), strict=True):
            if entry.agent is not None:
                tools.append({**written, "agent": await self.agent(found.namespace, entry.agent)})
            else:
                called = await self.tool(found.namespace, str(entry.tool), entry.function)
                tools.append({**written, "tool": called})
        if tools:
            pinned["tools"] = tools
        return key

    async def tool(self, namespace: str, name: str, function: str | None) -> str:
        """Pins a Tool; what the definition calls it."""
        found = await self._agents.tools.find(namespace, name)
        check_function(found, function)
        if (known := self._names.get(("tool", found.key))) is not None:
            return known
        pinned = await self._agents.tools.pinned(found, self._namespace)
        key = self._name("tool", found.namespace, found.name, self.used.tools)
        if found.namespace != self._namespace:
            self.used.shared_tools.add(key)
        if found.spec.code is not None:
            self.used.runtimes.add(found.spec.code.runtime)
        self.used.tools[key] = pinned
        return key

    def _name(self, kind: str, namespace: str, name: str, taken: dict[str, Any]) -> str:
        """Its own name; that of a shared one is longer where the namespace's own is used, too."""
        key = f"{namespace}.{name}" if name in taken else name
        self._names[kind, f"{namespace}/{name}"] = key
        return key
