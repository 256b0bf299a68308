"""All that a hostile model tries."""

from rogue import arguments, credentials, limits, reaching, tenants, words
from rogue.cases import WIRE, Case, Control, Turn, call

#: What else the model does when a case has agents play it.
PLAYS: dict[str, tuple[Turn, ...]] = {
    "wire-it": ([call("wire", WIRE)], "done"),
    "books-it": ([call("books")], "done"),
    "spend-8": (*([call("lookup", {"id": f"c-{n}"})] for n in range(8)), "done"),
    **{f"small-{n}": ([call("lookup", {"id": f"c-{n}"})], "done") for n in range(5)},
    "remember": ("done",),
    "complain": ("$REFUSE",),
}

CASES: tuple[Case, ...] = (
    *arguments.names(),
    *arguments.constraints(),
    *arguments.schemas(),
    *limits.limits(),
    *limits.budgets(),
    *limits.approvals(),
    *reaching.hosts(),
    *reaching.code(),
    *words.injections(),
    *words.memories(),
    *credentials.credentials(),
    *tenants.tenants(),
)

#: Of the cases that need an execution of their own every so many is played, unless all are asked for.
EVERY = 12


def some() -> tuple[Case, ...]:
    """The cases that are played together; of the others the first of each kind, and a few more."""
    alone = [case for case in CASES if not case.shelf]
    first = {kind(case): case for case in reversed(alone)}.values()
    played = {case.name for case in (*first, *alone[::EVERY])}
    return tuple(case for case in CASES if case.shelf or case.name in played)


def kind(case: Case) -> tuple[Control, str]:
    """What it has in common with others: its control, and its name without a number."""
    return case.control, case.name.rstrip("-0123456789")
