"""The request that arguments make of the template of a Tool. Pure.

Arguments are hostile: none may change where the request goes, add a header or a line, leave the path that the
template names, or be taken for another argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from citadel.api.tool import Http
from citadel.core.jsonvalues import Json, canonical, kind_of

_PLACE = re.compile(r"[$][{]args((?:[.][A-Za-z_][A-Za-z0-9_]*)+)[}]")
_ORIGIN = re.compile(r"https?://[^/]+")
_LINE = re.compile(r"[\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
#: Bytes of a URL, and of one header.
MAX_URL, MAX_HEADER = 16 * 1024, 8 * 1024


class InvalidArgument(ValueError):
    """An argument cannot stand where the template has it; the message names both."""


class _Missing:
    """No such argument."""


_MISSING = _Missing()


@dataclass(frozen=True)
class HttpRequest:
    """What is sent. Headers are in order; the credential's comes later, and last."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None


def request_of(http: Http, arguments: Mapping[str, Json]) -> HttpRequest:
    """The request; raises InvalidArgument. An argument that is missing or null leaves out the query's or
    header's entry, or the body's member, that consists of it alone; anywhere else it must be there."""
    origin = _ORIGIN.match(http.url)
    assert origin is not None
    path = _PLACE.sub(lambda match: _segment(match, arguments), http.url[origin.end() :]) or "/"
    pairs = [pair for name, text in http.query.items() for pair in _pairs(name, text, arguments)]
    url = origin[0] + path + (f"?{urlencode(pairs)}" if pairs else "")
    if len(url) > MAX_URL:
        raise InvalidArgument(f"url: found {len(url)} bytes, expected at most {MAX_URL}")
    headers = [
        (name, line)
        for name, text in http.headers.items()
        if (line := _header(name, text, arguments)) is not None
    ]
    body = _filled(http.body, arguments, "body") if http.body is not None else _MISSING
    if isinstance(body, _Missing):
        return HttpRequest(http.method or "POST", url, tuple(headers))
    kind = next((line for name, line in headers if name.lower() == "content-type"), None)
    if kind is None:
        headers.append(("Content-Type", _JSON))
    return HttpRequest(http.method or "POST", url, tuple(headers), _encoded(body, kind or _JSON))


def _segment(match: re.Match[str], arguments: Mapping[str, Json]) -> str:
    name = match[1][1:]
    text = _scalar(name, _found(arguments, name), "the path of the URL")
    if not text:
        raise InvalidArgument(f"args.{name}: found an empty text, expected one that can stand in the URL")
    # Encoded or not, some server reads it as a way out of the path that the template names.
    if any(part in (".", "..") for part in re.split(r"[/\\]", text)) or _CONTROL.search(text):
        raise InvalidArgument(f"args.{name}: found {text[:100]!r}, expected the name of something in the URL")
    return quote(text, safe="")


def _pairs(name: str, template: str, arguments: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """What a name of the query stands for: a list is the name again for each item."""
    whole = _PLACE.fullmatch(template)
    if whole is None:
        yield name, _text(template, arguments, f"query.{name}")
        return
    value = _found(arguments, whole[1][1:])
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, _Missing) and item is not None:
            yield name, _scalar(whole[1][1:], item, f"query.{name}")


def _header(name: str, template: str, arguments: Mapping[str, Json]) -> str | None:
    whole = _PLACE.fullmatch(template)
    if whole is not None and isinstance(_found(arguments, whole[1][1:]), _Missing | None):
        return None
    line = _text(template, arguments, f"headers.{name}").strip(" ")
    if not _LINE.fullmatch(line) or len(line) > MAX_HEADER:
        raise InvalidArgument(
            f"headers.{name}: found {line[:100]!r}, expected one line of printable ASCII of at most"
            f" {MAX_HEADER} characters"
        )
    return line


def _text(template: str, arguments: Mapping[str, Json], where: str) -> str:
    def filled(match: re.Match[str]) -> str:
        name = match[1][1:]
        return _scalar(name, _found(arguments, name), where)

    return _PLACE.sub(filled, template)


def _filled(template: Any, arguments: Mapping[str, Json], where: str) -> Json | _Missing:
    """A template of JSON with arguments in place; one that stands alone keeps its type."""
    match template:
        case str():
            whole = _PLACE.fullmatch(template)
            if whole is not None:
                return _found(arguments, whole[1][1:])
            return _text(template, arguments, where)
        case list():
            items = (_filled(item, arguments, f"{where}[{at}]") for at, item in enumerate(template))
            return [item for item in items if not isinstance(item, _Missing)]
        case dict():
            members = (
                (_text(key, arguments, where), _filled(item, arguments, f"{where}.{key}"))
                for key, item in template.items()
            )
            return {key: item for key, item in members if not isinstance(item, _Missing)}
    value: Json = template
    return value


def _found(arguments: Mapping[str, Json], name: str) -> Json | _Missing:
    value: Any = arguments
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    found: Json = value
    return found


def _scalar(name: str, value: Json | _Missing, where: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return canonical(value).decode()
    found = "none" if isinstance(value, _Missing) else f"a value of the type {kind_of(value)}"
    raise InvalidArgument(f"args.{name}: found {found}, expected a text, number or boolean in {where}")


def _encoded(body: Json, kind: str) -> bytes:
    """A body as its Content-Type says: a form, a text as it is, or JSON."""
    kind = kind.partition(";")[0].strip().lower()
    if kind == _FORM and isinstance(body, dict):
        pairs = [
            (name, _scalar(name, item, "a form"))
            for name, value in body.items()
            for item in (value if isinstance(value, list) else [value])
            if item is not None
        ]
        return urlencode(pairs).encode()
    if isinstance(body, str) and kind != _JSON and not kind.endswith("+json"):
        return body.encode()
    return canonical(body)
