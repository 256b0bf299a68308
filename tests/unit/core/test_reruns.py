"""What a rerun takes over, and that nothing recorded is repeated."""

import pytest

from citadel.core import events as ev
from citadel.core.reruns import CannotRerun, take_over
from citadel.core.values import Values
from engine import Run, failure, plan, step


class Again(Run):
    """An execution that takes over what another has recorded."""

    def __init__(self, old: Run, taken, again=None, inputs=None) -> None:
        self._old, self._taken = old, taken
        super().__init__(again or old.plan, inputs)

    def created(self, inputs=None) -> ev.Created:
        values = Values()
        self.store.update(self._old.store)
        value = values.put(dict(inputs or {}))
        recalled = values.put(self._taken.payload()) if self._taken.steps else None
        self.keep(values)
        return ev.Created("again", "default", "uid-2", "flow", self.plan.digest, value, recalled, "run")


def rerun(old: Run, point: str | None = None, again=None, **given) -> tuple[list[str], Run]:
    """What is taken over, and the new execution, in which everything succeeds."""
    taken = take_over(old.state, again or old.plan, point, **given)
    new = Again(old, taken, again)
    new.finish(lambda name, attempt: f"again {name}")
    return sorted(taken.steps), new


def ran(run: Run) -> list[str]:
    """The steps that a sandbox got."""
    return [event.step for event, _ in run.log if isinstance(event, ev.Assigned)]


def output(run: Run, name: str):
    value = run.state.steps[name].output
    assert value is not None
    return Values(loaded=run.store).get(value)


def failing(*names: str, answer=None):
    return lambda name, attempt: failure() if name in names else (answer or f"first {name}")


CHAIN = (
    step("a"),
    step("b", arguments={"x": "${steps.a.output}"}),
    step("c", arguments={"x": "${steps.b.output}"}),
    step("d", needs=["a"]),
)


def test_after_a_failure_only_what_had_not_succeeded_runs() -> None:
    old = Run(plan(*CHAIN)).finish(failing("b"))
    taken, new = rerun(old)
    assert taken == ["a"]
    assert sorted(ran(new)) == ["b", "c", "d"]
    assert output(new, "c") == "again c"
    assert output(new, "a") == "first a"


def test_from_a_step_it_runs_again_with_what_depends_on_it_and_nothing_else() -> None:
    old = Run(plan(*CHAIN)).finish(failing())
    taken, new = rerun(old, "b")
    assert (taken, sorted(ran(new))) == (["a", "d"], ["b", "c"])
    told = {name: (item.reason, item.message) for name, item in new.state.steps.items()}
    assert told["a"] == ("Recalled", "from execution run")
    assert told["b"] == (None, None)


def test_items_that_succeeded_are_not_repeated() -> None:
    loop = step("load", forEach={"items": [0, 1, 2, 3]}, arguments={"x": "${item}"})
    old = Run(plan(loop, step("after"))).finish(failing("load[2]"))
    taken, new = rerun(old)
    assert "load[2]" not in taken
    assert set(taken) | set(ran(new)) == {*(f"load[{number}]" for number in range(4)), "after"}
    assert not set(taken) & set(ran(new))
    assert output(new, "load")[2] == "again load[2]"
    assert output(new, "load")[int(taken[0][5])] == f"first {taken[0]}"


def test_one_item_can_run_again_and_what_reads_the_list_does_too() -> None:
    loop = step("load", forEach={"items": [0, 1, 2]}, arguments={"x": "${item}"})
    old = Run(plan(step("before"), loop, step("after"))).finish(failing())
    taken, new = rerun(old, "load[1]")
    assert (taken, sorted(ran(new))) == (["before", "load[0]", "load[2]"], ["after", "load[1]"])


GROUP = {
    "name": "fix",
    "repeat": {"until": "iteration == 3"},
    "steps": [step("write"), step("test", arguments={"x": "${steps.write.output}"})],
    "output": "${steps.test.output}",
}


def test_a_repeat_goes_on_from_the_iteration_that_failed() -> None:
    old = Run(plan(GROUP, step("after"))).finish(failing("fix[2].test"))
    taken, new = rerun(old)
    assert taken == ["fix[1]", "fix[2].write"]
    assert ran(new) == ["fix[2].test", "fix[3].write", "fix[3].test", "after"]


@pytest.mark.parametrize(
    ("point", "again"),
    [
        ("fix[2].test", ["fix[2].test", "fix[3].write", "fix[3].test", "after"]),
        ("fix[3]", ["fix[3].write", "fix[3].test", "after"]),
        ("fix.test", ["fix[1].test", "fix[2].write", "fix[2].test", "fix[3].write", "fix[3].test", "after"]),
        ("after", ["after"]),
    ],
)
def test_what_follows_on_an_iteration_that_runs_again_runs_again(point: str, again: list[str]) -> None:
    old = Run(plan(GROUP, step("after"))).finish(failing())
    assert ran(rerun(old, point)[1]) == again


def test_what_ran_after_a_failure_runs_after_it_again() -> None:
    old = Run(plan(step("a"), step("b", join="finished"))).finish(failing("a"))
    assert ran(old) == ["a", "b"]
    assert (ran(rerun(old)[1]), rerun(old)[0]) == (["a", "b"], [])


def test_what_was_undone_is_done_again_and_undone_again_when_it_fails_again() -> None:
    undo = {"run": {"runtime": "python", "code": "def main(): pass"}}
    steps = [step("book", compensate=undo), step("see", arguments={"x": "${steps.book.output}"}), step("pay")]
    old = Run(plan(*steps)).finish(failing("pay"))
    taken, new = rerun(old)
    assert (taken, ran(new)) == ([], ["book", "see", "pay"])
    whole = Run(plan(*steps)).finish(failing())
    taken = take_over(whole.state, whole.plan, "pay")
    assert sorted(taken.steps) == ["book", "see"]
    again = Again(whole, taken)
    again.finish(failing("pay"))
    assert ran(again) == ["pay", "book.compensate"]


def test_within_a_group_what_can_be_undone_is_taken_over_by_itself() -> None:
    undo = {"run": {"runtime": "python", "code": "def main(): pass"}}
    group = {
        "name": "trip",
        "steps": [step("fly", compensate=undo), step("stay")],
        "output": "${steps.fly.output}",
    }
    old = Run(plan(group, step("pay"))).finish(failing())
    taken = take_over(old.state, old.plan, "pay")
    assert sorted(taken.steps) == ["trip.fly", "trip.stay"]
    new = Again(old, taken)
    new.finish(failing("pay"))
    assert ran(new) == ["pay", "trip.fly.compensate"]


def test_a_handled_failure_is_taken_over_with_its_reason() -> None:
    handled = step("a", onError={"output": 7})
    reads = step("b", arguments={"x": "${steps.a.error.reason}"})
    old = Run(plan(handled, reads, step("c"))).finish(failing("a", "c"))
    taken, new = rerun(old, "b")
    assert (taken, ran(new)) == (["a"], ["b", "c"])
    assert output(new, "a") == 7


def test_by_another_definition_what_is_defined_as_it_was_stays() -> None:
    old = Run(plan(*CHAIN)).finish(failing("c"))
    changed = {**CHAIN[1], "timeout": "1m"}
    taken, new = rerun(old, again=plan(CHAIN[0], changed, CHAIN[2], CHAIN[3], step("e")))
    assert sorted(taken) in (["a"], ["a", "d"])
    assert {"b", "c", "e"} <= set(ran(new))


def test_people_are_asked_again_when_what_they_saw_may_not_be_what_follows() -> None:
    asks = {"name": "ok", "approval": {"approvers": {"users": ["ada"]}}, "with": {"x": 1}}
    old = Run(plan(asks, step("pay")))
    values = Values()
    form = values.put(None)
    old.post(ev.ApprovalDecided("ok", True, "ada", "", form, old.now))
    old.finish(failing("pay"))
    assert sorted(take_over(old.state, old.plan).steps) == ["ok"]
    assert not take_over(old.state, old.plan, same_inputs=False).steps
    assert not take_over(old.state, plan(asks, step("pay", timeout="1m"))).steps
    assert not take_over(old.state, old.plan, "pay", same_inputs=False).steps


def test_what_is_lost_runs_again() -> None:
    old = Run(plan(*CHAIN)).finish(failing())
    taken = take_over(old.state, old.plan, "d", without=frozenset({"b"}))
    assert sorted(taken.steps) == ["a"]


def test_a_long_chain_is_gone_through_without_a_stack() -> None:
    old = Run(plan(*(step(f"s{number}") for number in range(300)))).finish(failing("s299"))
    assert len(take_over(old.state, old.plan).steps) == 299


@pytest.mark.parametrize("point", ["nothing", "a[3]", "a.x", "last", "a.compensate"])
def test_a_point_that_is_none_is_refused(point: str) -> None:
    undo = {"run": {"runtime": "python", "code": "def main(): pass"}}
    old = Run(plan(step("a", compensate=undo), **{"finally": [step("last")]})).finish(failing())
    with pytest.raises(CannotRerun, match=point.replace("[", r"\[").replace("]", r"\]")):
        take_over(old.state, old.plan, point)
