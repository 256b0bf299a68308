"""Answers that are to fit a schema: how a model is told, how its text is read, what is asked again. Pure."""

import re

from citadel.core.jsonvalues import InvalidValue, Json, canonical, normalise
from citadel.core.outputs import OutputSchema

_FENCED = re.compile(r"```[A-Za-z]*\n(.*?)\n?```", re.DOTALL)
_UNFIT = re.compile("[\0\ud800-\udfff]")


class Unfit(ValueError):
    """An answer that is no JSON, or does not fit; the message says where."""


def instruction(schema: Json) -> str:
    """What a model is told before, so that its answer fits."""
    return (
        "Answer with one JSON value that is valid by this JSON Schema, and with nothing else, no words "
        f"before or after it:\n{canonical(schema).decode()}"
    )


def repair(problem: str) -> str:
    """What a model is asked whose answer did not fit."""
    return f"Your answer does not fit: {problem}\nAnswer again, with the corrected JSON value alone."


def clean(text: str) -> str:
    """A text as a journal keeps it."""
    return _UNFIT.sub("\ufffd", text)


def read(text: str, schema: OutputSchema) -> Json:
    """The JSON of an answer; raises Unfit."""
    value = _parsed(clean(text))
    problem = schema.problem(value, "answer")
    if problem is not None:
        raise Unfit(problem)
    return value


def _parsed(text: str) -> Json:
    """Models put JSON between words and fences, whatever they are told."""
    first: InvalidValue | None = None
    for candidate in _candidates(text):
        try:
            return normalise(candidate.encode())
        except InvalidValue as error:
            first = first or error
    raise Unfit(f"answer: {first}" if text.strip() else "answer: found nothing, expected JSON")


def _candidates(text: str) -> list[str]:
    found = [text]
    fenced = _FENCED.search(text)
    if fenced is not None:
        found.append(fenced[1])
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]"))
    if starts and end > min(starts):
        found.append(text[min(starts) : end + 1])
    return found
