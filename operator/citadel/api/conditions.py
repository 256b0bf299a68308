"""metav1.Condition, and the one rule for changing a list of them."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from citadel.api.meta import Model


class Condition(Model):
    """One aspect of an object's state, in the shape of metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=63)]
    """What the condition is about, such as Ready or Succeeded."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, StringConstraints(max_length=63)]
    """Why, in one CamelCase word; part of the API."""
    message: Annotated[str, StringConstraints(max_length=2048)] = ""
    """Why, for people."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When the status last changed."""
    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec this was derived from."""


def merge(current: Iterable[Condition], wanted: Iterable[Condition]) -> tuple[Condition, ...]:
    """`wanted`, keeping the transition time of every condition whose status did not change."""
    before = {condition.type: condition for condition in current}

    def settled(condition: Condition) -> Condition:
        old = before.get(condition.type)
        if old is None or old.status != condition.status:
            return condition
        return condition.model_copy(update={"last_transition_time": old.last_transition_time})

    return tuple(sorted((settled(condition) for condition in wanted), key=lambda c: c.type))
