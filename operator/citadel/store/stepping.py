"""One advance around the pure engine, which gets values as it asks for them; the same for any database."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from citadel.core import events as ev
from citadel.core.advance import Outcome, advance
from citadel.core.jsonvalues import Json
from citadel.core.members import Members, MemberWanted, Wish
from citadel.core.plan import Plan
from citadel.core.state import State
from citadel.core.tickets import Standing, Ticket
from citadel.core.values import BuildKey, Cached, CacheKey, Content, MissingValues, Stored, Values, decode
from citadel.store.journal import CorruptJournal

#: Loads the JSON of digests; leaves out what there is not.
Load = Callable[[Sequence[str]], Awaitable[Mapping[str, Json]]]
#: Looks up programs that were built before; leaves out what was not.
Recall = Callable[[Collection[BuildKey]], Awaitable[Mapping[BuildKey, Content]]]
#: Looks up what steps with a cache gave before; leaves out what is not known.
Remember = Callable[[Collection[CacheKey]], Awaitable[Mapping[CacheKey, Cached]]]
#: Claims a member of a pool, as part of the advance; None when there is none.
Claim = Callable[[Wish], Awaitable[str | None]]
#: Finds how an execution stands in its concurrency group, which stays so until the advance is committed.
Stand = Callable[[Ticket], Awaitable[Standing]]
#: Seconds since its last heartbeat for which a member of a pool is taken to be there. Runners send one
#: every 10.
FRESH_SECONDS = 25.0


def values_of(facts: Iterable[ev.Event]) -> list[str]:
    """Digests of the values that come with facts from outside."""
    digests = []
    for fact in facts:
        match fact:
            case ev.ModelAnswered(output=Stored() as value) | ev.ToolAnswered(output=Stored() as value):
                digests.append(value.digest)
            case ev.ToolCalled(arguments=Stored() as value):
                digests.append(value.digest)
            case ev.AttemptSucceeded(output=Stored() as value) | ev.SignalReceived(payload=Stored() as value):
                digests.append(value.digest)
            case ev.ApprovalDecided(form=Stored() as value) | ev.ChildFinished(outputs=Stored() as value):
                digests.append(value.digest)
            case ev.Created(inputs=inputs, recalled=recalled):
                digests += [value.digest for value in (inputs, recalled) if isinstance(value, Stored)]
    return digests


def check_bodies(facts: Iterable[ev.Event], bodies: Mapping[str, bytes]) -> None:
    """Raises ValueError when a value comes by digest alone."""
    for digest in values_of(facts):
        if digest not in bodies:
            raise ValueError(f"found a fact with the value {digest}, expected that value in outputs")


async def step_forward(
    uid: str,
    state: State,
    facts: Sequence[ev.Event],
    now: float,
    load: Load,
    recall: Recall,
    remember: Remember,
    stand: Stand,
    *,
    plan: Plan | None = None,
    claim: str | None = None,
    claim_member: Claim | None = None,
) -> tuple[Outcome, dict[str, bytes]]:
    """What an advance does, and the values it makes (digest -> canonical JSON). Raises CorruptJournal."""
    loaded: dict[str, Json] = {}
    builds: dict[BuildKey, Content | None] = {}
    cached: dict[CacheKey, Cached | None] = {}
    claimed: dict[str, str | None] = {}
    standing: Standing | None = None
    members = None if claim_member is None else Members(claimed)
    while True:
        values = Values(loaded=loaded, builds=builds, cached=cached, standing=standing)
        try:
            outcome = advance(state, facts, now, values, plan=plan, claim=claim, members=members)
            return outcome, values.made
        except MissingValues as missing:
            if missing.builds:
                found = await recall(missing.builds)
                builds.update({key: found.get(key) for key in missing.builds})
            if missing.cached:
                known = await remember(missing.cached)
                cached.update({key: known.get(key) for key in missing.cached})
            if missing.ticket is not None:
                standing = await stand(missing.ticket)
            loaded.update(await _load(uid, missing.digests, load))
        except MemberWanted as wanted:
            assert claim_member is not None
            claimed[wanted.wish.sandbox] = await claim_member(wanted.wish)


async def assignment_values(uid: str, state: State, step: str | None, load: Load) -> dict[str, Json]:
    """The JSON of every digest that the payload of `step` names, its own included. Raises CorruptJournal."""
    if step is None:
        return {}
    payload = state.steps[step].payload
    found: dict[str, Json] = {}
    content: Any = None
    if isinstance(payload, Stored):
        found.update(await _load(uid, frozenset((payload.digest,)), load))
        content = found[payload.digest]
    elif payload is not None:
        content = payload.value
    if content is not None:
        given = (*content["arguments"].values(), *content.get("files", {}).values())
        arguments = (decode(argument) for argument in given)
        digests = frozenset(item.digest for item in arguments if isinstance(item, Stored)) - found.keys()
        if digests:
            found.update(await _load(uid, digests, load))
    return found


async def _load(uid: str, digests: frozenset[str], load: Load) -> Mapping[str, Json]:
    found = await load(sorted(digests)) if digests else {}
    lacking = digests - found.keys()
    if lacking:
        raise CorruptJournal(uid, f"value {min(lacking)} is not in the journal")
    return found
