"""Kubeconfig files: their named entries, and where each stands, for messages."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from citadel.kube.errors import ConfigError


@dataclass(frozen=True, slots=True)
class File:
    """One file, as it was read."""

    path: Path
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A named entry: where it stands (for messages), the folder of its relative paths, its fields."""

    where: str
    folder: Path
    body: Mapping[str, Any]

    def data(self, field_name: str) -> str | None:
        """The PEM text of `<field>-data` (base64) or else of the file that `<field>` names."""
        encoded = self.body.get(f"{field_name}-data")
        if encoded:
            try:
                return base64.b64decode(str(encoded), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise ConfigError(f"{self.where}: {field_name}-data is not base64 of PEM text") from error
        named = self.body.get(field_name)
        return read_text(self.folder / str(named), f"{self.where}: {field_name}") if named else None


def load(path: Path) -> Mapping[str, Any]:
    """The body of a file; raises ConfigError."""
    try:
        body = YAML(typ="safe").load(path.read_text())
    except OSError as error:
        raise ConfigError(f"kubeconfig {path}: {error.strerror or error}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"kubeconfig {path}: not YAML: {str(error).splitlines()[0]}") from error
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise ConfigError(
            f"kubeconfig {path}: found a {type(body).__name__}, expected an object of kind Config"
        )
    return body


def _entries(files: Sequence[File], group: str, part: str) -> Iterator[tuple[str, Entry]]:
    for file in files:
        listed = file.body.get(group) or []
        if not isinstance(listed, list):
            raise ConfigError(f"kubeconfig {file.path}: {group} is not a list")
        for item in listed:
            if isinstance(item, dict):
                name, body = str(item.get("name")), item.get(part) or {}
                if not isinstance(body, dict):
                    raise ConfigError(f"kubeconfig {file.path}: {part} {name!r} is not an object")
                yield name, Entry(f"kubeconfig {file.path}: {part} {name!r}", file.path.parent, body)


def find(files: Sequence[File], group: str, part: str, name: str) -> Entry:
    """The first entry of a name; raises ConfigError with those there are."""
    found = list(_entries(files, group, part))
    for known, entry in found:
        if known == name:
            return entry
    where = ", ".join(str(file.path) for file in files)
    names = ", ".join(dict.fromkeys(known for known, _ in found)) or "none"
    raise ConfigError(f"kubeconfig {where}: no {part} {name!r}, found {names}")


def required(entry: Entry, field_name: str) -> str:
    """A field that must hold text; raises ConfigError."""
    value = entry.body.get(field_name)
    if not value or not isinstance(value, str):
        raise ConfigError(f"{entry.where}: {field_name} is missing")
    return value


def read_text(path: Path, what: str) -> str:
    """The text of a file; raises ConfigError, which begins with `what` is to be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: cannot read {path}: {error}") from error
