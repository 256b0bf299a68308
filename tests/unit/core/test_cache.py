"""Steps with a cache: what their outputs are known by, when they run all the same, and what is refused."""

from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.children import wanted
from citadel.core.plan import InvalidDefinition, Plan
from citadel.core.summary import step_words
from citadel.core.values import Cached, CacheKey
from engine import Run, content, failure, plan, step


def key_of(run: Run, name: str = "a") -> CacheKey:
    """Under which the output of a step will be known."""
    (found,) = (item.cache for item, _ in run.log if isinstance(item, ev.StepReady) and item.step == name)
    assert found is not None
    return CacheKey("default", found)


class Again(Run):
    """An execution in which something is known of `a`."""

    def __init__(
        self, plan: Plan, cached: dict[CacheKey, Cached], no_cache: bool = False, **given: Any
    ) -> None:
        self._cached, self._no_cache = cached, no_cache
        super().__init__(plan, **given)

    def created(self, inputs: Any = None) -> ev.Created:
        self.cached = self._cached
        made = super().created(inputs)
        return ev.Created(
            made.name, made.namespace, made.uid, made.workflow, made.definition, made.inputs,
            no_cache=self._no_cache,
        )  # fmt: skip


def cached(output: Any = "known", at: float = 900.0) -> Cached:
    return Cached(output, {"text": content("left")}, at, "first")


STEP = step("a", cache={}, arguments={"x": "${inputs.x}"})


@pytest.mark.parametrize("output", ["known", "x" * 5000])
def test_what_is_known_does_not_run_again_and_says_whence_it_is(output: str) -> None:
    compiled = plan(STEP, step("b", arguments={"x": "${steps.a.output}"}))
    key = key_of(Run(compiled, {"x": 1}))
    again = Again(compiled, {key: cached(output)}, inputs={"x": 1}).finish()
    assert [item.step for item, _ in again.log if isinstance(item, ev.Assigned)] == ["b"]
    found = again.state.steps["a"]
    assert (found.status, found.reason, found.message) == ("Succeeded", "Cached", "from execution first")
    assert found.artifacts == {"text": content("left")}


def test_a_step_that_runs_says_why_nothing_was_taken_from_the_cache() -> None:
    compiled = plan(STEP)
    for no_cache, why in ((False, "no output is known for these inputs"), (True, "spec.noCache is true")):
        run = Again(compiled, {}, no_cache=no_cache, inputs={"x": 1})
        assert step_words(run.state, "a") == ("CacheMiss", why)
        run.finish()
        assert step_words(run.state, "a") == ("CacheMiss", why)
    failing = Again(compiled, {}, inputs={"x": 1})
    failing.finish(lambda *_: failure())
    assert step_words(failing.state, "a") == ("Error", "boom")


def test_what_runs_within_one_that_wants_no_cache_wants_none_either() -> None:
    call = plan({"name": "call", "workflow": {"name": "other"}})
    for no_cache in (False, True):
        (child,) = wanted(Again(call, {}, no_cache=no_cache).state)
        assert child.no_cache is no_cache


def test_who_wants_no_cache_runs_it_and_it_is_known_afterwards() -> None:
    compiled = plan(STEP)
    key = key_of(Run(compiled, {"x": 1}))
    again = Again(compiled, {key: cached()}, no_cache=True, inputs={"x": 1})
    assert key_of(again) == key


@pytest.mark.parametrize(("age", "status"), [(59.0, "Succeeded"), (60.0, "Ready")])
def test_what_is_too_old_runs_again(age: float, status: str) -> None:
    compiled = plan({**STEP, "cache": {"ttl": "1m"}})
    key = key_of(Run(compiled, {"x": 1}))
    again = Again(compiled, {key: cached(at=1000.0 - age)}, inputs={"x": 1})
    assert again.state.steps["a"].status == status


@pytest.mark.parametrize(
    ("other", "inputs"),
    [
        (STEP, {"x": 2}),
        ({**STEP, "cache": {"key": "v2"}}, {"x": 1}),
        ({**STEP, "cache": {"key": "${inputs.x}"}}, {"x": 1}),
        ({**STEP, "run": {"runtime": "python", "code": "def main(x): return x"}}, {"x": 1}),
        ({**STEP, "run": {**STEP["run"], "env": [{"name": "A", "value": "b"}]}}, {"x": 1}),
        ({**STEP, "files": {"a.txt": "text"}}, {"x": 1}),
        ({**STEP, "artifacts": {"out": {"text": "/work/text"}}}, {"x": 1}),
        ({**STEP, "outputSchema": {"type": "string"}}, {"x": 1}),
        ({"name": "a", "container": {"image": "python", "command": ["true"]}, "cache": {}}, {"x": 1}),
    ],
)
def test_what_an_output_depends_on_makes_another_key(other: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert key_of(Run(plan(STEP), {"x": 1})) != key_of(Run(plan(other), inputs))


def test_what_it_does_not_depend_on_changes_nothing() -> None:
    first = Run(plan(STEP), {"x": 1, "y": 2})
    second = Run(plan({**STEP, "timeout": "1m", "retry": {"attempts": 2}}, step("b")), {"x": 1, "y": 3})
    assert key_of(first) == key_of(second)


def test_items_of_a_loop_are_known_one_by_one() -> None:
    loop = step("a", forEach={"items": [0, 1, 2]}, cache={}, arguments={"x": "${item}"})
    first = Run(plan(loop))
    known = {key_of(first, "a[1]"): cached("one")}
    again = Again(plan(loop), known).finish()
    assert [item.step for item, _ in again.log if isinstance(item, ev.Assigned)] == ["a[0]", "a[2]"]


@pytest.mark.parametrize("kind", ["secretKeyRef", "configMapKeyRef"])
@pytest.mark.parametrize("field", ["with", "files"])
def test_what_stands_elsewhere_is_refused_beside_a_cache(kind: str, field: str) -> None:
    given = {field: {"x": {"valueFrom": {kind: {"name": "db", "key": "password"}}}}}
    with pytest.raises(InvalidDefinition, match="found valueFrom, expected a value: the step has a cache"):
        plan({**step("a"), **given, "cache": {}})
