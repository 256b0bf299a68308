"""Files and artifacts of a step: what stands where before an attempt begins, and what is kept of it after."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from citadel.api.step import Step
from citadel.core.jsonvalues import Json

#: Where files of `files` go, where trees of artifacts go, and where they are taken from.
FILE_PLACES, TAKEN_PLACES, LEFT_PLACES = ("/work",), ("/work", "/data"), ("/work", "/data", "/tmp")  # noqa: S108
#: Bytes of a path: runner and shim send it in the name of a blob.
MAX_PATH = 200
_SOURCE = re.compile(r"steps\.([A-Za-z][A-Za-z0-9_]{0,62})\.artifacts\.([A-Za-z_][A-Za-z0-9_]{0,62})")
_Place = tuple[str | int, ...]


class InvalidPath(ValueError):
    """A path that leads to no place of a sandbox."""


@dataclass(frozen=True)
class Source:
    """An artifact of another step."""

    step: str
    name: str


@dataclass
class Parcels:
    """What a step says of files and artifacts, its paths made absolute; `problems` below the step's path."""

    files: dict[str, tuple[str, Json]] = field(default_factory=dict)
    """Path -> its spelling in the step, and what is to stand there."""
    taken: dict[str, Source] = field(default_factory=dict)
    """Path -> the artifact that is to stand there."""
    left: dict[str, str] = field(default_factory=dict)
    """Name -> the path that is kept under it."""
    problems: list[tuple[_Place, str]] = field(default_factory=list)


def read_parcels(step: Step, steps: Sequence[Step]) -> Parcels:
    """What a step says of files and artifacts; `steps` are those that it may take artifacts of."""
    found = Parcels()
    for spelling, value in step.files.items():
        if path := _path(found, ("files", spelling), spelling, FILE_PLACES, at_least_below=True):
            found.files[path] = spelling, value
    if step.artifacts is None:
        return found
    for name, spelling in step.artifacts.out.items():
        if path := _path(found, ("artifacts", "out", name), spelling, LEFT_PLACES):
            found.left[name] = path
    leaves = {other.name: other.artifacts.out if other.artifacts else {} for other in steps}
    for spelling, source in step.artifacts.taken.items():
        place = ("artifacts", "in", spelling)
        path = _path(found, place, spelling, TAKEN_PLACES)
        taken = _source(found, place, source, leaves)
        if path and taken:
            found.taken[path] = taken
    return found


def _source(
    found: Parcels, place: _Place, text: str, leaves: Mapping[str, Mapping[str, str]]
) -> Source | None:
    match = _SOURCE.fullmatch(text)
    if match is None:
        message = f"found {text!r:.200}, expected an artifact of another step: steps.<step>.artifacts.<name>"
        found.problems.append((place, message))
        return None
    source = Source(*match.groups())
    if source.step in leaves and source.name not in leaves[source.step]:
        there = ", ".join(sorted(leaves[source.step])) or "none"
        message = (
            f"found artifact {source.name!r} of step {source.step}, expected one that it leaves: {there}"
        )
        found.problems.append((place, message))
        return None
    return source


def _path(
    found: Parcels, place: _Place, spelling: str, places: tuple[str, ...], *, at_least_below: bool = False
) -> str | None:
    try:
        path = absolute(spelling, places)
    except InvalidPath as error:
        found.problems.append((place, str(error)))
        return None
    if at_least_below and path in places:
        found.problems.append((place, f"found the directory {path}, expected a file in it"))
        return None
    taken = found.files if place[0] == "files" else found.taken if place[1] == "in" else {}
    if path in taken:
        found.problems.append((place, f"found {path} twice"))
        return None
    return path


def absolute(spelling: str, places: tuple[str, ...]) -> str:
    """A path in a sandbox, which begins in /work where it is relative; raises InvalidPath."""
    whole = spelling if spelling.startswith("/") else f"/work/{spelling}"
    parts = [part for part in whole.split("/") if part not in ("", ".")]
    path = "/" + "/".join(parts)
    if ".." in parts:
        raise InvalidPath(f"found {spelling!r:.200}, expected a path without ..")
    if any(character < " " for character in path) or len(path.encode()) > MAX_PATH:
        raise InvalidPath(f"expected a path of at most {MAX_PATH} bytes without control characters")
    if not any(path == directory or path.startswith(f"{directory}/") for directory in places):
        allowed = " or ".join(places)
        raise InvalidPath(f"found {spelling!r:.200}, expected a path in {allowed}, or relative to /work")
    return path


def is_data(path: str) -> bool:
    """Whether an absolute path lies in /data."""
    return path == "/data" or path.startswith("/data/")
