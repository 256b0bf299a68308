"""What a namespace's own Runtimes may have only where a policy lists it: secrets, nodes, priority. Pure.

It is the cluster's, not the namespace's: a Secret lies where all sandboxes run, a taint keeps others off a
node, a priority pushes them out. So nothing is granted where no policy speaks of it, and of those that do
each must list it. Shared Runtimes are the admin's own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from citadel.api.policy import ExecutionPolicySpec
from citadel.api.problems import shortened
from citadel.api.runtime import Toleration

#: How many of what is granted a message names.
_NAMED = 5


@dataclass(frozen=True)
class _Grant:
    """One field of a Runtime, and how a policy bounds it."""

    field: str
    rule: str
    """Field of the policy."""
    wanted: Callable[[Any], Iterable[Any]]
    """Single things in the field of a Runtime."""
    listed: Callable[[ExecutionPolicySpec], Sequence[Any] | None]
    """Single things that a policy lists; None: it does not speak of them."""
    covers: Callable[[Any, Any], bool]
    """Whether what is listed grants what is wanted."""
    shown: Callable[[Any], str]


_GRANTS = (
    _Grant(
        "imagePullSecrets",
        "imagePullSecrets",
        lambda refs: (ref["name"] for ref in refs),
        lambda spec: spec.image_pull_secrets,
        lambda listed, wanted: bool(listed == wanted),
        str,
    ),
    _Grant(
        "nodeSelector",
        "nodeSelector",
        lambda labels: labels.items(),
        lambda spec: _pairs(spec.node_selector),
        lambda listed, wanted: bool(listed == wanted),
        "=".join,
    ),
    _Grant(
        "tolerations",
        "tolerations",
        lambda found: (Toleration.model_validate(item) for item in found),
        lambda spec: spec.tolerations,
        lambda listed, wanted: tolerates(listed, wanted),
        lambda found: _taint(found),
    ),
    _Grant(
        "priorityClassName",
        "priorityClassNames",
        lambda name: (name,),
        lambda spec: spec.priority_class_names,
        lambda listed, wanted: bool(listed == wanted),
        str,
    ),
)


def objections(
    specs: Sequence[tuple[str, ExecutionPolicySpec]], template: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    """Policy, rule, field and message of what nothing grants a template; no policy where none speaks of it.

    `specs` are policies by name.
    """
    if template.get("shared"):
        return
    for grant in _GRANTS:
        speaking = [(name, found) for name, spec in specs if (found := grant.listed(spec)) is not None]
        stated = template.get(grant.field)
        for wanted in grant.wanted(stated) if stated else ():
            found = f"found {shortened(grant.shown(wanted))}"
            if not speaking:
                message = (
                    f"{found}, but no ExecutionPolicy of the namespace has spec.{grant.rule} that lists it"
                )
                yield "", f"spec.{grant.rule}", grant.field, message
            for name, listed in speaking:
                if not any(grant.covers(item, wanted) for item in listed):
                    expected = ", ".join(map(grant.shown, listed[:_NAMED])) or "none at all"
                    yield name, f"spec.{grant.rule}", grant.field, f"{found}, expected one of {expected}"


def tolerates(listed: Toleration, wanted: Toleration) -> bool:
    """Whether every taint that `wanted` tolerates is one that `listed` tolerates."""
    any_key = not listed.key and listed.operator == "Exists"
    if not any_key and (listed.key or "") != (wanted.key or ""):
        return False
    if listed.effect is not None and listed.effect != wanted.effect:
        return False
    exact = wanted.operator == "Equal" and (listed.value or "") == (wanted.value or "")
    return listed.operator == "Exists" or exact


def _pairs(selector: Mapping[str, Sequence[str]] | None) -> list[tuple[str, str]] | None:
    if selector is None:
        return None
    return [(key, value) for key, values in selector.items() for value in values]


def _taint(found: Toleration) -> str:
    """`key=value:effect`, as kubectl writes a taint."""
    value = f"={found.value or ''}" if found.operator == "Equal" else ""
    return f"{found.key or 'every key'}{value}{':' + found.effect if found.effect else ''}"
