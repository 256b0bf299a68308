"""Files of what agents did: read with clear words for what is none, and written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from citadel.api.cassette import VERSION, Cassette, on_the_wire
from citadel.api.messages import in_words
from citadel.api.problems import found


class InvalidCassette(ValueError):
    """The file is no recording; one line for each reason."""


def read_cassette(text: str) -> Cassette:
    """What a file holds; raises InvalidCassette."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidCassette(f"expected JSON, as `citadel record` writes it: {error}") from None
    if not isinstance(value, dict):
        raise InvalidCassette(f"found {found(value)}, expected what `citadel record` writes")
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        later = f"found {version}, expected at most {VERSION}: a later Citadel has recorded it"
        raise InvalidCassette(f"version: {later}")
    try:
        return Cassette.model_validate_json(text, strict=True, by_name=False)
    except ValidationError as error:
        raise InvalidCassette("\n".join(problem.text for problem in in_words(Cassette, error, ()))) from None


def write_cassette(path: Path, cassette: Cassette) -> None:
    """Writes a file; raises OSError. What agents were told and said is for nobody else on this machine."""
    text = json.dumps(on_the_wire(cassette), indent=1, ensure_ascii=False) + "\n"
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
