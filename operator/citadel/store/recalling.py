"""What an execution has though it did not make it: rows by which it is kept with the execution. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import seconds
from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.values import CacheKey, Content, Inline, Value

#: For how long the output of a step with a cache is known that does not say.
CACHED_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Recalled:
    """What a step has though it did not run: as long as its execution is kept, so is this."""

    uid: str
    step: str
    name: str
    namespace: str
    content: Content


def recalled(state: State, events: tuple[ev.Event, ...], bodies: Mapping[str, bytes]) -> Iterator[Recalled]:
    """Nobody uploads it in this execution, so nobody else notes that it is used here.

    What it takes over is noted when it begins: the execution that left it may be forgotten before its turn.
    """
    for event in events:
        if isinstance(event, ev.Created) and event.recalled is not None:
            for step, found in _taken_over(event.recalled, bodies).items():
                left = {name: Content(**item) for name, item in found.get("artifacts", {}).items()}
                yield from _kept(state, step, left)
        elif isinstance(event, ev.StepRecalled):
            yield from _kept(state, event.step, event.artifacts)


def _taken_over(value: Value, bodies: Mapping[str, bytes]) -> dict[str, Any]:
    found: Any = value.value if isinstance(value, Inline) else json.loads(bodies.get(value.digest, b"{}"))
    return dict(found)


def _kept(state: State, step: str, artifacts: Mapping[str, Content]) -> Iterator[Recalled]:
    assert state.created is not None
    for name, content in artifacts.items():
        yield Recalled(state.created.uid, step, name, state.created.namespace, content)


@dataclass(frozen=True)
class Memory:
    """What a step with a cache gave; the first of a namespace stays for `seconds`."""

    key: CacheKey
    output: Value
    artifacts: Mapping[str, Content]
    execution: str
    seconds: float


def memories(state: State, events: Iterable[ev.Event]) -> Iterator[Memory]:
    """What is to be known to later executions."""
    for event in events:
        if not isinstance(event, ev.AttemptSucceeded | ev.StepCompleted):
            continue
        if isinstance(event, ev.StepCompleted) and event.failure is not None:
            continue  # what a handler gives is not what the step gives
        key = state.steps[event.step].cache
        if key is None or state.plan is None or state.created is None:
            continue
        cache = state.plan.step(event.step).spec.cache
        kept = CACHED_SECONDS if cache is None or cache.ttl is None else seconds(cache.ttl)
        name, namespace = state.created.name, state.created.namespace
        artifacts = event.artifacts if isinstance(event, ev.AttemptSucceeded) else {}
        yield Memory(CacheKey(namespace, key), event.output, artifacts, name, kept)
