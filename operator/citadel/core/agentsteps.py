"""Hidden steps of agents: below an agent step stands one for each of its tools, whose turns are its calls.

`write.search` is a loop that nobody opens: a fact begins each turn. What a turn does is what a step does
anyway (another workflow, code in a sandbox of its own, a call outside, an agent with tools below it), so all
that holds of steps holds of calls. Nothing of this is seen by expressions, and nothing of it counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from citadel.api import actions
from citadel.api.agent import AgentSpec, AgentTool
from citadel.api.durations import seconds
from citadel.api.modifiers import ForEach
from citadel.api.problems import Problem, suggestion
from citadel.api.step import Step
from citadel.core.bounds import Bounds
from citadel.core.calls import APPROVE, CALL, REFUSED
from citadel.core.checking import Path
from citadel.core.compiled import CompiledStep, Loop
from citadel.core.expressions import Expression
from citadel.core.outputs import OutputSchema, compile_output
from citadel.core.pinned import PinnedTool, Schema
from citadel.core.placing import InvalidDefinition
from citadel.core.rules import InvalidExpression, compile_rule
from citadel.core.schemas import InvalidSchema
from citadel.core.templates import compile_template

#: What runs an agent, in the image of its Runtime.
ENTRYPOINT = "citadel_agent:run"
#: How many agents may be within each other, that of the step included.
MAX_DEPTH = 4
#: Hidden steps of one definition.
MAX_HIDDEN = 2000
_CALLS = Loop(ForEach.model_construct(items=None, fail_fast=False))
_NONE: frozenset[str] = frozenset()


def with_agents(
    steps: Mapping[str, CompiledStep],
    agents: Mapping[str, AgentSpec],
    tools: Mapping[str, PinnedTool],
    limits: Mapping[str, str],
) -> dict[str, CompiledStep]:
    """The steps, those of agents and tools resolved, with the hidden ones; `limits` is what an admin lets a
    sandbox have at most. Raises InvalidDefinition.
    """
    if all(step.spec.agent is None and step.spec.tool is None for step in steps.values()):
        return dict(steps)
    compiler = _Compiler(agents, tools, limits, dict(steps))
    for step in steps.values():
        if step.spec.agent is not None:
            compiler.agent(step, step.spec.agent.name, ())
        elif step.spec.tool is not None:
            compiler.tool(step)
    if compiler.problems:
        raise InvalidDefinition(compiler.problems)
    return compiler.found


def literal(text: str) -> str:
    """A text as a template that gives just it."""
    return text.replace("${", "$${")


@dataclass
class _Compiler:
    agents: Mapping[str, AgentSpec]
    tools: Mapping[str, PinnedTool]
    limits: Mapping[str, str]
    found: dict[str, CompiledStep]
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path, message: str) -> None:
        """Notes what is wrong."""
        self.problems.append(Problem(path, message))

    def agent(self, step: CompiledStep, name: str, around: tuple[str, ...]) -> None:
        """A step that runs an agent, and below it its tools; `around` are the agents that it is a tool of."""
        at = (*step.place, "agent", "name")
        agent = self.agents.get(name)
        chain = (*around, name)
        if agent is None:
            near = suggestion(name, self.agents)
            self.problem(at, f"found {name!r}, expected the name of an Agent{near}")
            return
        if name in around:
            self.problem(at, f"found agents that call each other in a circle: {' > '.join(chain)}")
            return
        if len(chain) > MAX_DEPTH:
            told = " > ".join(chain)
            self.problem(at, f"found agents within each other, expected at most {MAX_DEPTH}: {told}")
            return
        run = actions.Run(runtime=agent.runtime, entrypoint=ENTRYPOINT)
        schema = step.schema or self._schema(at, f"Agent {name}, outputSchema", agent.output_schema)
        timeout = step.spec.timeout or self.limits.get("timeout")
        spec = step.spec.model_copy(update={"run": run, "isolation": "step", "timeout": timeout})
        names = tuple(tool.name for tool in agent.tools)
        self.found[step.path] = replace(
            step,
            spec=spec,
            timeout=None if timeout is None else seconds(timeout),
            agent=agent,
            depth=len(around),
            schema=schema,
            tools={tool: f"{step.path}.{tool}" for tool in names},
        )
        if len(self.found) > MAX_HIDDEN:
            self.problem(at, f"found more than {MAX_HIDDEN} steps and tools of agents in all")
            return
        for tool in agent.tools:
            self._tool_of(step, name, tool, names, chain)
        self._add(
            self._hidden(step, f"{step.path}.{REFUSED}", tool=actions.Tool(name=REFUSED)),
            loop=_CALLS,
            bounds=Bounds(name, names, allowed=False),
        )

    def tool(self, step: CompiledStep) -> None:
        """A step that calls a tool, no agent about."""
        wanted = step.spec.tool
        assert wanted is not None
        at = (*step.place, "tool")
        found = self._find(wanted.name, wanted.function, at, "")
        if found is None:
            return
        parameters = self._schema(at, f"Tool {found.name}, parameters", found.schema(wanted.function))
        self.found[step.path] = replace(self._resolved(step, found, at), parameters=parameters)

    def _tool_of(
        self, step: CompiledStep, agent: str, tool: AgentTool, names: tuple[str, ...], chain: tuple[str, ...]
    ) -> None:
        at, title = (*step.place, "agent", "name"), f"Agent {agent}, tool {tool.name}"
        path = f"{step.path}.{tool.name}"
        pinned, parameters = None, None
        if tool.tool is not None:
            pinned = self._find(tool.tool, tool.function, at, f"{title}: ")
            if pinned is None:
                return
            parameters = self._schema(at, f"{title}, parameters", pinned.schema(tool.function))
        elif (below := self.agents.get(str(tool.agent))) is not None:
            parameters = self._schema(at, f"{title}, parameters", below.parameters)
        bounds = Bounds(agent, names, True, tuple(self._constraints(tool, at, title)), tool.max_calls)
        calls: dict[str, Any] = {"loop": _CALLS, "bounds": bounds, "parameters": parameters}
        if tool.require_approval is None:
            self._action(self._hidden(step, path), tool, pinned, at, chain, calls)
            return
        asked = tool.require_approval
        approval = actions.Approval(approvers=asked.approvers, reason_required=asked.reason_required)
        approve, call = f"{path}.{APPROVE}", f"{path}.{CALL}"
        group = self._hidden(step, path, steps=(), output=f"${{steps.{CALL}.output}}")
        self._add(
            group,
            **calls,
            children=(approve, call),
            names={APPROVE: approve, CALL: call},
            output=compile_template(f"${{steps.{CALL}.output}}"),
        )
        timeout = None if asked.timeout is None else seconds(asked.timeout)
        self._add(
            self._hidden(group, approve, approval=approval, timeout=asked.timeout),
            timeout=timeout,
            scope=path,
        )
        inner = replace(self._hidden(group, call), needs=(approve,), scope=path)
        self._action(inner, tool, pinned, at, chain, {})

    def _action(
        self,
        step: CompiledStep,
        tool: AgentTool,
        pinned: PinnedTool | None,
        at: Path,
        chain: tuple[str, ...],
        changes: dict[str, Any],
    ) -> None:
        """What a call of a tool does."""
        step = replace(step, **changes)
        if pinned is not None:
            spec = step.spec.model_copy(
                update={"tool": actions.Tool(name=pinned.name, function=tool.function)}
            )
            self._add(self._resolved(replace(step, spec=spec), pinned, at))
            return
        assert tool.agent is not None
        spec = step.spec.model_copy(update={"agent": actions.Agent(name=tool.agent, prompt="-")})
        step = replace(step, spec=spec, index=len(self.found))
        self._add(step)
        self.agent(step, tool.agent, chain)

    def _resolved(self, step: CompiledStep, tool: PinnedTool, at: Path) -> CompiledStep:
        """A step as what the tool that it calls is: another workflow, code, or a call outside."""
        wanted, spec = tool.spec, step.spec
        changes: dict[str, Any] = {}
        timeout = spec.timeout or wanted.timeout
        schema = step.schema or self._schema(at, f"Tool {tool.name}, outputSchema", wanted.output_schema)
        env = step.env
        if wanted.workflow is not None:
            changes = {"tool": None, "workflow": wanted.workflow}
        elif wanted.code is not None:
            run = wanted.code
            if run.code_from is not None:
                run = run.model_copy(update={"code": tool.code, "code_from": None})
            changes = {"tool": None, "run": run, "isolation": "step"}
            timeout = min((timeout, self.limits.get("timeout", timeout)), key=seconds)
            env = tuple((item.name, compile_template(literal(item.value))) for item in run.env)
        spec = spec.model_copy(update={**changes, "timeout": timeout})
        return replace(step, spec=spec, tool=tool, schema=schema, timeout=seconds(timeout), env=env)

    def _find(self, name: str, function: str | None, at: Path, title: str) -> PinnedTool | None:
        tool = self.tools.get(name)
        if tool is None:
            near = suggestion(name, self.tools)
            self.problem(at, f"{title}found {name!r}, expected the name of a Tool{near}")
            return None
        if tool.spec.mcp is None:
            if function is not None:
                self.problem(at, f"{title}found function, which means nothing for Tool {name}; leave it out")
        elif function is None or function not in tool.functions:
            said = "no function" if function is None else f"function {function!r}"
            listed = ", ".join(tool.functions) or "none"
            self.problem(at, f"{title}found {said}, expected one of those of Tool {name}: {listed}")
            return None
        return tool

    def _schema(self, at: Path, title: str, schema: Schema | None) -> OutputSchema | None:
        try:
            return None if schema is None else compile_output(schema)
        except InvalidSchema as error:
            self.problem(at, f"{title}: {error}")
            return None

    def _constraints(self, tool: AgentTool, at: Path, title: str) -> Iterator[tuple[Expression, str]]:
        for index, constraint in enumerate(tool.constraints):
            try:
                rule = compile_rule(constraint.rule)
            except InvalidExpression as error:
                self.problem(at, f"{title}, constraints[{index}].rule: {error}")
                continue
            yield rule, constraint.message or f"expected arguments that fulfil {constraint.rule}"

    def _hidden(self, above: CompiledStep, path: str, **fields: Any) -> CompiledStep:
        """A step below another that nobody waits for."""
        spec = Step.model_construct(name=path.rpartition(".")[2], **fields)
        return CompiledStep(
            spec,
            len(self.found),
            (),
            _NONE,
            _NONE,
            path=path,
            scope=above.path,
            place=above.place,
            hidden=True,
        )

    def _add(self, step: CompiledStep, **changes: Any) -> None:
        self.found[step.path] = replace(step, index=len(self.found), **changes)
