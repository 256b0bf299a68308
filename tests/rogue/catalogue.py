"""All that a hostile model tries."""

from rogue import arguments, credentials, limits, reaching, tenants, words
from rogue.cases import WIRE, Case, Turn, call

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
