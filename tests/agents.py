"""Builders for tests of agents: a plan with agents and tools, and an execution whose agent calls them."""

from collections.abc import Mapping
from typing import Any

from citadel.core import events as ev
from citadel.core.agents import Outcome, call_of, outcome
from citadel.core.plan import Plan, compile_definition
from citadel.core.values import Values
from engine import Run

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
#: One tool of each kind that needs nothing of the cluster.
TOOLS: Mapping[str, Any] = {
    "search": {
        "spec": {"description": "Searches.", "parameters": TEXT, "http": {"url": "https://a.example.com/"}}
    },
    "bill": {"spec": {"description": "Bills.", "workflow": {"name": "invoice"}}, "parameters": TEXT},
    "count": {
        "spec": {
            "description": "Counts.",
            "parameters": TEXT,
            "code": {"runtime": "python", "code": "def main(text): return len(text)"},
        }
    },
    "issues": {
        "spec": {"mcp": {"url": "https://mcp.example.com/mcp", "digest": f"sha256:{'0' * 64}"}},
        "functions": {"find": {"description": "Finds.", "parameters": TEXT}},
    },
}


def agent(*tools: Any, **spec: Any) -> dict[str, Any]:
    """An agent with these tools: names of TOOLS, or what an Agent says of one."""
    given = [{"name": tool, "tool": tool} if isinstance(tool, str) else tool for tool in tools]
    return {"model": "writer", "tools": given, **spec}


def run_agent(name: str = "write", of: str = "writer", **fields: Any) -> dict[str, Any]:
    """A step that runs an agent."""
    more = fields.pop("agent", {})
    return {"name": name, "agent": {"name": of, "prompt": "Go.", **more}, **fields}


def definition(*steps: dict[str, Any], agents: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """What an execution of these steps pins."""
    runtimes = {
        "python": {"image": "python"},
        "agent": {"image": "agent"},
        "go": {"language": "go", "image": "go"},
    }
    tools = {**TOOLS, **spec.pop("tools", {})}
    return {
        "spec": {"steps": list(steps), **spec},
        "runtimes": runtimes,
        "code": {},
        "agents": dict(agents),
        "tools": tools,
    }


def plan(*steps: dict[str, Any], agents: Mapping[str, Any], **spec: Any) -> Plan:
    """The plan of such an execution."""
    return compile_definition(definition(*steps, agents=agents, **spec))


class AgentRun(Run):
    """An execution whose agents are driven by hand."""

    def begin(self) -> "AgentRun":
        """Every sandbox that is wanted starts."""
        self.register()
        self.poll()
        for name in self.running():
            item = self.state.steps[name]
            if item.delivered_at is None:
                self.post(ev.Delivered(name, item.attempt, item.placing))
        return self

    def call(
        self,
        tool: str,
        arguments: Any = None,
        step: str = "write",
        key: str | None = None,
        attempt: int | None = None,
    ) -> str | None:
        """An agent calls a tool; the instance that answers."""
        attempt = self.state.steps[step].attempt if attempt is None else attempt
        key = key or f"call-{len(self.log)}"
        values = Values()
        value = values.put({} if arguments is None else arguments)
        self.keep(values)
        self.post(ev.ToolCalled(step, attempt, key, tool, value))
        return call_of(self.state, step, attempt, key)

    def told(self, instance: str | None) -> Outcome:
        """What the agent is told of a call."""
        assert instance is not None
        return outcome(self.state, instance)

    def refused(self, instance: str | None) -> tuple[str, str]:
        """Reason and message of a call that failed."""
        found = self.told(instance)
        assert found.failure is not None, found
        return found.failure.reason, found.failure.message

    def answer(self, instance: str | None, output: Any = None, failure: Any = None) -> None:
        """A tool outside of sandboxes answers."""
        assert instance is not None
        values = Values()
        value = None if failure is not None else values.put(output)
        self.keep(values)
        attempt = self.state.steps[instance].attempt
        self.post(ev.ToolAnswered(instance, attempt, value, failure))

    def output(self, instance: str | None) -> Any:
        """What a call gave."""
        value = self.told(instance).output
        assert value is not None
        return Values(loaded=self.store).get(value)
