"""JSON Schema of an output: checked when a step ends."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import jsonschema_rs

from citadel.core.inputs import MAX_MESSAGES, MAX_SCHEMA_BYTES, MAX_WORK, compile_validator, in_words
from citadel.core.jsonvalues import InvalidValue, Json, canonical, check
from citadel.core.schemas import InvalidSchema, weigh


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """A compiled schema of any value."""

    schema: dict[str, Json]
    """As given."""
    _validator: jsonschema_rs.Validator = field(repr=False, compare=False)
    _weight: float = field(repr=False, compare=False)

    def problem(self, value: Json, root: str = "output") -> str | None:
        """What is wrong with a value, a few sentences; None if it fits."""
        if len(canonical(value)) * self._weight > MAX_WORK:
            return f"{root}: too large for a schema of this complexity"
        found: list[str] = []
        for error in self._validator.iter_errors(value):
            found += [message for message in in_words(error, self.schema, root) if message not in found]
            if len(found) >= MAX_MESSAGES:
                break
        return "; ".join(found[:MAX_MESSAGES]) or None


def compile_output(schema: Mapping[str, Json]) -> OutputSchema:
    """Checks and compiles a schema; raises InvalidSchema."""
    root: dict[str, Json] = dict(schema)
    try:
        check(root, MAX_SCHEMA_BYTES)
    except InvalidValue as error:
        raise InvalidSchema(str(error)) from None
    root = copy.deepcopy(root)
    return OutputSchema(schema=root, _validator=compile_validator(root, ()), _weight=weigh(root))
