"""Small workflows that together hold every construct whose states are worth exploring."""

from engine import plan, step

SIGNALS = ("paid",)
_UNDO = {"run": {"runtime": "python", "code": "x"}, "retry": {"attempts": 2}}
_LAST = {"finally": [step("last")]}

WORKFLOWS = {
    "retry and join": plan(
        step("a", retry={"attempts": 2}), step("b", needs=[]), step("c", needs=["a", "b"], join="finished")
    ),
    "compensation and finally": plan(
        step("a", compensate=_UNDO),
        step("b", compensate=_UNDO, needs=[]),
        step("c", needs=["a", "b"]),
        **_LAST,
    ),
    "handlers": plan(
        step("a", onError={"steps": [step("tell")]}), step("b", needs=[], onError={"output": 1}), step("c")
    ),
    "loops": plan(
        step("all", forEach={"items": [1, 2], "failFast": False}, compensate=_UNDO),
        step("again", repeat={"until": "output == 1", "max": 2}, needs=[]),
        timeout="1h",
    ),
    "waits": plan(
        {"name": "ok", "approval": {"approvers": {"users": ["jane"]}}, "timeout": "1h"},
        {"name": "paid", "wait": {"signal": "paid"}, "timeout": "1h", "needs": []},
        step("a", needs=[], compensate=_UNDO),
        {"name": "g", "steps": [step("x"), step("y")], "output": "1", "needs": ["a"]},
    ),
}
