"""Agents as they are in the cluster now: found with all that they need, and checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from citadel import __version__
from citadel.api.agent import AgentSpec, AgentTool, Dependency
from citadel.api.reasons import Reason
from citadel.api.validate import InvalidObject, parse
from citadel.controller.checking import Unusable
from citadel.controller.models import Models
from citadel.controller.objects import not_ready
from citadel.controller.referring import References, Unread
from citadel.controller.runtimes import runs_no_agents
from citadel.controller.shelf import Shelf
from citadel.controller.tools import FoundTool, Tools, schema_problem
from citadel.controller.versions import misfit
from citadel.core.agentchecks import constraint_problems, rule_problems
from citadel.core.agentsteps import MAX_DEPTH
from citadel.core.values import ByReference
from citadel.core.versions import PROTOCOL, fits
from citadel.kube.resources import AGENTS, RUNTIMES, TOOLS, Object, Resource

_MOST_FUNCTIONS_TOLD = 20


@dataclass(frozen=True)
class FoundAgent:
    """An Agent."""

    namespace: str
    name: str
    spec: AgentSpec
    obj: Object = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class Agents:
    """Finds Agents, and what is wrong with them."""

    def __init__(self, shelf: Shelf, references: References, models: Models, tools: Tools) -> None:
        self._shelf, self._references = shelf, references
        self._models, self.tools = models, tools

    async def find(self, namespace: str, name: str) -> FoundAgent:
        """The Agent of this namespace, else the shared one; raises Unusable."""
        obj = await self._shelf.find(AGENTS, namespace, name)
        if obj is None:
            message = f"Agent {name} exists {self._shelf.where(namespace)}"
            raise Unusable(Reason.AGENT_NOT_FOUND, message, waits=True)
        return read_agent(obj)

    async def system(self, agent: FoundAgent) -> str | None:
        """What it is told first; raises Unusable."""
        if agent.spec.system_from is None:
            return agent.spec.system
        ref = agent.spec.system_from.config_map_key_ref
        by = ByReference("ConfigMap", ref.name, ref.key)
        try:
            return (await self._references.read(agent.namespace, by, f"Agent {agent.name}, systemFrom"))[0]
        except Unread as unread:
            raise Unusable(unread.reason, unread.message, waits=True) from None

    async def problems(self, agent: FoundAgent, namespace: str, circle: Iterable[Unusable]) -> list[Unusable]:
        """All that is missing, incompatible or wrong, as seen from a namespace; not what its tools need to be
        called. `circle` is what that method finds of it."""
        found = [*_of_itself(agent)]
        for check in (self._model(agent), self._system(agent), self._runtime(agent, namespace)):
            found += await check
        for tool in agent.spec.tools:
            found += await self._tool(agent, tool)
        found += circle
        found += await self._dependencies(agent, namespace)
        return found

    async def _model(self, agent: FoundAgent) -> list[Unusable]:
        try:
            model = self._models.chain(agent.namespace, agent.spec.model)[0]
        except Unusable as problem:
            return [problem.within(f"Agent {agent.name}, model")]
        budget = agent.spec.budget
        in_dollars = budget is not None and (budget.cost is not None or budget.cost_per_day is not None)
        if not in_dollars or model.spec.prices is not None or model.spec.provider == "scripted":
            return []
        message = (
            f"Agent {agent.name}, budget: it is in dollars, but Model {model.name} has no prices: nobody can "
            "say what a call may cost"
        )
        return [Unusable(Reason.INCOMPATIBLE, message, waits=True)]

    async def _system(self, agent: FoundAgent) -> list[Unusable]:
        try:
            await self.system(agent)
        except Unusable as problem:
            return [problem]
        return []

    async def _runtime(self, agent: FoundAgent, namespace: str) -> list[Unusable]:
        found = await self._shelf.find(RUNTIMES, namespace, agent.spec.runtime)
        if found is None:
            message = f"Runtime {agent.spec.runtime} exists {self._shelf.where(namespace)}"
            missing = Unusable(Reason.RUNTIME_NOT_FOUND, message, waits=True)
            return [missing.within(f"Agent {agent.name}, runtime")]
        whose = f"Agent {agent.name}, runtime: Runtime {agent.spec.runtime}"
        language = (found.get("spec") or {}).get("language", "python")
        if language != "python":
            message = f"{whose} runs {language}, expected python"
            return [Unusable(Reason.INVALID_SPEC, message, waits=True)]
        if runs_no_agents(found):
            message = f"{whose} runs no agents, expected agent or one with an image made from its"
            return [Unusable(Reason.INVALID_SPEC, message, waits=True)]
        return []

    async def _tool(self, agent: FoundAgent, entry: AgentTool) -> list[Unusable]:
        """What is wrong with one entry of an agent's list."""
        where = f"Agent {agent.name}, tool {entry.name}"
        try:
            parameters = await self._parameters(agent, entry)
        except Unusable as problem:
            return [problem.within(where)]
        return [
            Unusable(Reason.INVALID_SPEC, message, waits=True).within(f"{where}, constraints[{index}].rule")
            for index, message in constraint_problems(entry, parameters)
        ]

    async def _parameters(self, agent: FoundAgent, entry: AgentTool) -> dict[str, Any]:
        """The schema that constraints of a tool's arguments are of; raises Unusable where it is not there."""
        if entry.agent is not None:
            return (await self.find(agent.namespace, entry.agent)).spec.parameters
        tool = await self.tools.find(agent.namespace, str(entry.tool))
        check_function(tool, entry.function)
        if not entry.constraints:
            return {}  # nobody asks, and a Tool may have to be read for it
        try:
            pinned = await self.tools.pinned(tool, agent.namespace)
        except Unusable:
            return {}  # the Tool says itself what it lacks
        functions = pinned.get("functions", {})
        return dict(functions.get(entry.function, pinned)["parameters"])

    async def circle(self, agent: FoundAgent, around: tuple[str, ...] = ()) -> list[Unusable]:
        """Agents that lead back to themselves, or too deep."""
        around = around or (agent.key,)
        for entry in agent.spec.tools:
            if entry.agent is None:
                continue
            try:
                inner = await self.find(agent.namespace, entry.agent)
            except Unusable:
                continue  # told where it is named
            names = " > ".join(key.partition("/")[2] for key in (*around, inner.key))
            if inner.key in around:
                message = f"Agent {names}: its tools lead back to it"
                return [Unusable(Reason.INVALID_SPEC, message[:1024], waits=True)]
            if len(around) >= MAX_DEPTH:
                message = f"Agent {names}: found more agents within each other than {MAX_DEPTH}"
                return [Unusable(Reason.INVALID_SPEC, message[:1024], waits=True)]
            if deeper := await self.circle(inner, (*around, inner.key)):
                return deeper
        return []

    async def _dependencies(self, agent: FoundAgent, namespace: str) -> list[Unusable]:
        wanted: tuple[tuple[str, Resource, Iterable[Dependency], Reason, str], ...] = (
            ("Agent", AGENTS, agent.spec.depends_on.agents, Reason.AGENT_NOT_FOUND, agent.namespace),
            ("Tool", TOOLS, agent.spec.depends_on.tools, Reason.TOOL_NOT_FOUND, agent.namespace),
            ("Runtime", RUNTIMES, agent.spec.depends_on.runtimes, Reason.RUNTIME_NOT_FOUND, namespace),
        )
        found: list[Unusable] = []
        for kind, resource, dependencies, missing, here in wanted:
            for dependency in dependencies:
                obj = await self._shelf.find(resource, here, dependency.name)
                where = f"Agent {agent.name}, dependsOn: {kind} {dependency.name}"
                if obj is None:
                    message = f"{where} exists {self._shelf.where(here)}"
                    found.append(Unusable(missing, message, waits=True))
                elif dependency.version is not None:
                    told = misfit(obj, dependency.version)
                    if told is not None:
                        message = f"{where} {told}, expected {dependency.version}"
                        found.append(Unusable(Reason.INCOMPATIBLE, message, waits=True))
        return found


def read_agent(obj: Object) -> FoundAgent:
    """The Agent of an object; raises Unusable."""
    try:
        spec = parse("Agent", obj)
    except InvalidObject as error:
        raise Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False) from None
    return FoundAgent(obj["metadata"]["namespace"], obj["metadata"]["name"], spec, obj)


def check_function(tool: FoundTool, function: str | None) -> None:
    """Raises Unusable where a Tool has no such function, or needs none, or needs one."""
    where = f"Tool {tool.name}"
    if tool.spec.mcp is None:
        if function is not None:
            message = f"{where}: found function {function}, which means nothing for the kind {tool.spec.kind}"
            raise Unusable(Reason.INVALID_SPEC, message, waits=True)
        return
    functions = tool.pinned_functions
    told = (
        ", ".join([*functions][:_MOST_FUNCTIONS_TOLD]) if functions is not None else "nobody knows them yet"
    )
    if function is None:
        message = f"{where}: found no function, expected one of the MCP server's: {told}"
        raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=True)
    if functions is None:
        raise not_ready(tool.obj, "Tool") or Unusable(
            Reason.NOT_PINNED, f"{where}: nobody knows its functions yet", waits=True
        )
    if function not in functions:
        message = f"{where}: its MCP server has no function {function}, expected one of: {told}"
        raise Unusable(Reason.TOOL_NOT_FOUND, message[:1024], waits=True)
    where = f"{where}, function {function}: what the server says of its arguments"
    if (problem := schema_problem(functions[function]["parameters"], where)) is not None:
        raise problem


def _of_itself(agent: FoundAgent) -> Iterable[Unusable]:
    """What is wrong with an agent, whatever else there is."""
    spec, whose = agent.spec, f"Agent {agent.name}"
    for name, wanted, version in (
        ("citadel", spec.compatibility.citadel, __version__),
        ("protocol", spec.compatibility.protocol, PROTOCOL),
    ):
        if wanted is not None and not fits(version, wanted):
            message = f"{whose}, compatibility.{name}: this is version {version}, expected {wanted}"
            yield Unusable(Reason.INCOMPATIBLE, message, waits=True)
    problem = schema_problem(spec.parameters, f"{whose}, parameters")
    if problem is not None:
        yield problem
    if spec.output_schema is not None:
        problem = schema_problem(spec.output_schema, f"{whose}, outputSchema", arguments=False)
        if problem is not None:
            yield problem
    for tool in spec.tools:
        for index, message in rule_problems(tool):
            where = f"{whose}, tool {tool.name}, constraints[{index}].rule"
            yield Unusable(Reason.INVALID_SPEC, message, waits=False).within(where)
