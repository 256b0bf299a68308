"""Cases of an evaluation from a file: CSV, JSON, or a JSON object on each line.

Nothing is guessed: what stands in CSV is text.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from citadel.api.problems import counted, shortened, suggestion
from citadel.core.jsonvalues import InvalidValue, Json, normalise

Case = Mapping[str, Json]


class InvalidCases(ValueError):
    """The file has no cases, or not in its format; the message says where."""


def read_cases(path: str, text: str) -> list[Case]:
    """The cases of a file, by the end of its name; raises InvalidCases."""
    ending = PurePath(path).suffix.lower()
    formats = {".csv": _of_csv, ".json": _of_json, ".jsonl": _of_lines}
    if ending not in formats:
        expected = f"expected a file whose name ends in {', '.join(formats)}"
        raise InvalidCases(f"{expected}{suggestion(ending, formats)}")
    found = list(formats[ending](text.removeprefix("\ufeff")))
    if not found:
        raise InvalidCases("found no case, expected at least one")
    return found


def _of_csv(text: str) -> Iterator[Case]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, None)
        if names is None:
            return
        _check_names(names)
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                message = f"line {reader.line_num}: found {counted(len(row), 'field')}, expected {len(names)}"
                raise InvalidCases(f"{message}: {', '.join(names)}")
            yield dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise InvalidCases(f"line {reader.line_num}: expected CSV: {error}") from None


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name.strip():
            raise InvalidCases("line 1: found a field without a name, expected the names of all fields")
        if names.count(name) > 1:
            raise InvalidCases(f"line 1: found the field {shortened(name)} twice, expected each once")


def _of_json(text: str) -> Iterator[Case]:
    try:
        found = normalise(text.encode("utf-8", "surrogateescape"))
    except InvalidValue as error:
        raise InvalidCases(f"expected JSON: {error}") from None
    if not isinstance(found, list):
        raise InvalidCases("expected a list of cases")
    for number, case in enumerate(found):
        yield _checked(case, f"[{number}]")


def _of_lines(text: str) -> Iterator[Case]:
    # Not splitlines: JSON may hold what that takes for the end of a line.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            case = normalise(line.encode("utf-8", "surrogateescape"))
        except InvalidValue as error:
            raise InvalidCases(f"line {number}: expected JSON: {error}") from None
        yield _checked(case, f"line {number}")


def _checked(case: Json, where: str) -> Case:
    if not isinstance(case, dict):
        raise InvalidCases(f"{where}: expected a mapping: the fields of a case")
    return case
