"""Answers that are to fit a schema: how a model is told, how its text is read, what is asked again."""

import json
import re

import jsonschema_rs

MAX_PROBLEMS = 20
_FENCED = re.compile(r"```[A-Za-z]*\n(.*?)\n?```", re.DOTALL)
_UNFIT = re.compile("[\0\ud800-\udfff]")


class Unfit(ValueError):
    """An answer that is no JSON, or does not fit; the message says where."""


class Schema:
    """A schema of answers, with regular expressions that take linear time."""

    def __init__(self, schema):
        self._schema = schema
        options = jsonschema_rs.RegexOptions(size_limit=256 * 1024, dfa_size_limit=256 * 1024)
        self._validator = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, pattern_options=options
        )

    def instruction(self):
        """What a model is told before, so that its answer fits."""
        schema = json.dumps(self._schema, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return (
            "When you have what you need, answer with one JSON value that is valid by this JSON Schema, and with "
            f"nothing else, no words before or after it:\n{schema}"
        )

    def read(self, text):
        """The JSON of an answer; raises Unfit."""
        value = _parsed(_UNFIT.sub("\ufffd", text))
        problems = []
        for error in self._validator.iter_errors(value):
            place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in error.instance_path)
            problems.append(f"answer{place}: {error.message}")
            if len(problems) == MAX_PROBLEMS:
                break
        if problems:
            raise Unfit("; ".join(problems))
        return value


def repair(problem):
    """What a model is asked whose answer did not fit."""
    return f"Your answer does not fit: {problem}\nAnswer again, with the corrected JSON value alone."


def clean(text):
    """A text as JSON may hold it."""
    return _UNFIT.sub("\ufffd", text)


def sound(value):
    """JSON whose texts are such. How deep it may be the gateway says."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [sound(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): sound(item) for key, item in value.items()}
    return value


def _parsed(text):
    """Models put JSON between words and fences, whatever they are told."""
    first = None
    for candidate in _candidates(text):
        try:
            return json.loads(candidate, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            first = first or error
    raise Unfit(
        f"answer: found no JSON ({first})" if text.strip() else "answer: found nothing, expected JSON"
    )


def _refuse(constant):
    raise ValueError(f"found {constant}")


def _candidates(text):
    found = [text]
    fenced = _FENCED.search(text)
    if fenced is not None:
        found.append(fenced[1])
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]"))
    if starts and end > min(starts):
        found.append(text[min(starts) : end + 1])
    return found
