"""Small workflows that together hold every construct whose states are worth exploring."""

from dataclasses import dataclass

import agents
from citadel.core.plan import Plan
from engine import plan, step

_UNDO = {"run": {"runtime": "python", "code": "x"}, "retry": {"attempts": 2}}
_SECRET = {"valueFrom": {"secretKeyRef": {"name": "bank", "key": "token"}}}
_LAST = {"finally": [step("last")]}


@dataclass(frozen=True)
class World:
    """A workflow, and what may come to it from outside."""

    plan: Plan
    signals: tuple[str, ...] = ()
    pool: bool = False


WORLDS = {
    "retry and join": World(
        plan(
            step("a", retry={"attempts": 2}),
            step("b", needs=[]),
            step("c", needs=["a", "b"], join="finished"),
            step("d", needs=["a", "b"], join="any"),
        )
    ),
    "compensation and finally": World(
        plan(
            step("a", compensate=_UNDO),
            step("b", compensate=_UNDO, needs=[]),
            step("c", needs=["a", "b"]),
            **_LAST,
        )
    ),
    "handlers": World(
        plan(
            step("a", onError={"steps": [step("tell")]}),
            step("b", needs=[], onError={"output": 1}),
            step("c"),
        )
    ),
    "loops": World(
        plan(
            step("all", forEach={"items": [1, 2], "failFast": False}, compensate=_UNDO),
            step("again", repeat={"until": "output == 1", "max": 2}, needs=[]),
            timeout="1h",
        )
    ),
    "groups": World(
        plan(
            {
                "name": "fix",
                "repeat": {"max": 2},
                "steps": [step("write", compensate=_UNDO), step("tidy", join="finished")],
                "output": "1",
                "onError": {"steps": [step("tell")], "output": 1},
            },
            {
                "name": "load",
                "needs": [],
                "forEach": {"items": [1, 2], "parallelism": 2},
                "steps": [step("read")],
                "output": "1",
            },
            step("last", join="finished"),
        )
    ),
    "turns": World(
        plan(
            step("a", compensate=_UNDO),
            step("b", retry={"attempts": 2}, needs=[]),
            concurrency={"limit": 1},
            pendingTimeout="10m",
            timeout="1h",
            **_LAST,
        )
    ),
    "waits": World(
        plan(
            {"name": "ok", "approval": {"approvers": {"users": ["jane"]}}, "timeout": "1h"},
            {"name": "paid", "wait": {"signal": "paid"}, "timeout": "1h", "needs": []},
            step("a", needs=[], compensate=_UNDO),
            {"name": "g", "steps": [step("x"), step("y")], "output": "1", "needs": ["a"]},
        ),
        signals=("paid", "paid"),
    ),
    "workflows": World(
        plan(
            {"name": "bill", "workflow": {"name": "w"}, "retry": {"attempts": 2}, "timeout": "1h"},
            step("a", needs=[], compensate={"workflow": {"name": "undo"}}),
            {"name": "ship", "workflow": {"name": "w"}, "needs": ["a"], "onError": {"output": 1}},
            step("b", needs=["bill", "ship"]),
        )
    ),
    "agents": World(
        agents.plan(
            agents.run_agent(retry={"attempts": 2}),
            step("last", join="finished"),
            agents={
                "writer": agents.agent(
                    "count",
                    {"name": "ask", "tool": "search", "requireApproval": {"approvers": {"users": ["jane"]}}},
                    limits={"toolCalls": 2},
                )
            },
            parallelism=1,
        ),
    ),
    "pools and secrets": World(
        plan(
            step("a", arguments={"token": _SECRET}, retry={"attempts": 2}),
            step("b", needs=[], compensate=_UNDO),
            step("c", needs=["b"]),
        ),
        pool=True,
    ),
}
