"""One operation of an OpenAPI document, as the template of a request: what a Tool pins of it. Pure.

Must never follow a reference out of the document, nor one that leads back to itself: whoever writes it
is not trusted with the control plane, and what it says is shown to models.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from citadel.core.jsonvalues import canonical
from citadel.core.schemas import resolve

#: Bytes of the arguments' schema at most.
MAX_BYTES = 64 * 1024
_METHODS = ("get", "head", "post", "put", "patch", "delete")
_JSON = re.compile(r"application/([a-z0-9.+-]+[+])?json\b")
_PLACE = re.compile(r"\{([^{}]*)\}")
#: What says something of a schema in OpenAPI, and nothing in JSON Schema, or nothing of what may stand there.
_DROPPED = frozenset(("xml", "example", "examples", "externalDocs", "discriminator", "deprecated"))
#: Headers that OpenAPI leaves to whoever sends a request.
_NOT_ARGUMENTS = frozenset(("accept", "authorization", "content-type"))
_IN_PATHS = "/{}?#%~!*'(),;:@&=+"
_MOST_NODES = 10_000


class InvalidDocument(ValueError):
    """The document does not say what is needed; the message says where and what."""


@dataclass(frozen=True)
class Operation:
    """A request that arguments fill in."""

    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments, an object."""
    method: str
    path: str
    """Below the URL of the API; arguments in it in dollar-brace form."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None


def operation_of(document: Any, name: str) -> Operation:
    """The operation of this operationId; raises InvalidDocument."""
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise InvalidDocument("expected an OpenAPI document of version 3, with openapi: 3…")
    found = [each for each in _operations(document) if each[2].get("operationId") == name]
    if not found:
        known = sorted(
            {str(each[2]["operationId"]) for each in _operations(document) if "operationId" in each[2]}
        )
        told = ", ".join(known[:20]) or "none"
        raise InvalidDocument(f"found no operation {name}, expected one of: {told}")
    path, method, operation, shared = found[0]
    return _Reader(document, f"operation {name}").read(path, method, operation, shared)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], list[Any]]]:
    """Path, method and operation, and the parameters of all operations there."""
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if isinstance(item, dict) and "$ref" in item:
            item, _ = resolve(document, str(item["$ref"]))
        if not isinstance(item, dict):
            continue
        shared = item.get("parameters")
        for method in _METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                yield str(path), method, operation, shared if isinstance(shared, list) else []


class _Reader:
    """Reads one operation."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        self._document, self._where = document, where
        self._nodes = 0
        self._names: dict[str, str] = {}

    def read(self, path: str, method: str, operation: dict[str, Any], shared: list[Any]) -> Operation:
        properties: dict[str, Any] = {}
        required: list[str] = []
        places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
        given = operation.get("parameters")
        own = given if isinstance(given, list) else []
        for parameter in self._parameters([*shared, *own]):
            place, name = str(parameter.get("in")), str(parameter.get("name"))
            if place == "header" and name.lower() in _NOT_ARGUMENTS:
                continue
            needed = bool(parameter.get("required")) or place == "path"
            if place not in places:
                if needed:
                    raise self._problem(
                        f"found the parameter {name} in {place}, expected path, query or header"
                    )
                continue
            argument = self._argument(name)
            places[place][name] = f"${{args.{argument}}}"
            properties[argument] = self._described(parameter, self._schema_of(parameter, name))
            if needed:
                required.append(argument)
        body = None
        content = self._followed(operation.get("requestBody"))
        if content is not None:
            argument = self._argument("body")
            body = f"${{args.{argument}}}"
            properties[argument] = self._described(content, self._body(content))
            if content.get("required"):
                required.append(argument)
        parameters: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        if (size := len(canonical(parameters))) > MAX_BYTES:
            raise self._problem(f"found {size} bytes of schemas, expected at most {MAX_BYTES}")
        told = operation.get("description") or operation.get("summary") or operation["operationId"]
        return Operation(
            str(told)[:4096],
            parameters,
            method.upper(),
            self._path(path, places["path"]),
            places["query"],
            places["header"],
            body,
        )

    def _parameters(self, given: list[Any]) -> list[dict[str, Any]]:
        """Each once: what an operation says of one goes before what its path says."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for item in given:
            parameter = self._followed(item)
            if parameter is not None:
                found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
        return list(found.values())

    def _argument(self, name: str) -> str:
        """A name by which a template can have an argument."""
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:60] or "_"
        plain = plain if not plain[0].isdigit() else f"_{plain}"
        found = next(f"{plain}{end}" for end in ("", *range(2, 1000)) if f"{plain}{end}" not in self._names)
        self._names[found] = name
        return found

    def _path(self, path: str, places: Mapping[str, str]) -> str:
        def place(match: re.Match[str]) -> str:
            name = unquote(match[1])
            if name not in places:
                raise self._problem(f"found {{{name}}} in the path {path}, expected a parameter of that name")
            return places[name]

        return _PLACE.sub(place, quote(path, safe=_IN_PATHS))

    def _body(self, content: dict[str, Any]) -> Any:
        kinds = content.get("content")
        for kind, media in kinds.items() if isinstance(kinds, dict) else ():
            if _JSON.match(str(kind)) and isinstance(media, dict):
                return self._schema(media.get("schema", {}), ())
        told = ", ".join(map(str, kinds)) if isinstance(kinds, dict) else "nothing"
        raise self._problem(f"found a body of {told[:200]}, expected application/json")

    def _schema_of(self, parameter: dict[str, Any], name: str) -> Any:
        if "schema" in parameter:
            return self._schema(parameter["schema"], ())
        kinds = parameter.get("content")
        media = next(iter(kinds.values()), None) if isinstance(kinds, dict) else None
        if isinstance(media, dict):
            return self._schema(media.get("schema", {}), ())
        raise self._problem(f"found no schema of the parameter {name}, expected one")

    @staticmethod
    def _described(said: Mapping[str, Any], schema: Any) -> Any:
        told = said.get("description")
        if not isinstance(told, str) or not isinstance(schema, dict) or "description" in schema:
            return schema
        return {**schema, "description": told[:1024]}

    def _followed(self, value: Any) -> dict[str, Any] | None:
        """An object, or what its reference leads to."""
        for _ in range(8):
            if not isinstance(value, dict):
                return None
            if "$ref" not in value:
                return value
            value = self._target(value["$ref"])
        raise self._problem("found references that lead to references, expected an object")

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise self._problem(f"found $ref {str(reference)[:100]!r}, expected one into the document, #/…")
        found, _ = resolve(self._document, reference)
        if found is None:
            raise self._problem(f"found $ref {reference[:100]}, which leads nowhere")
        return found

    def _schema(self, schema: Any, around: tuple[str, ...]) -> Any:
        """A schema with what it refers to in place, in the words of JSON Schema."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self._problem(f"found schemas of more than {_MOST_NODES} parts, expected at most that many")
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if (reference := schema.get("$ref")) is not None:
            if reference in around:
                raise self._problem(f"found $ref {reference}, which leads back to itself")
            followed = self._schema(self._target(reference), (*around, reference))
            beside = {key: value for key, value in schema.items() if key == "description"}
            return {**followed, **beside} if isinstance(followed, dict) else followed
        made: dict[str, Any] = {}
        for key, value in schema.items():
            if key in ("properties", "patternProperties", "dependentSchemas") and isinstance(value, dict):
                made[key] = {str(name): self._schema(item, around) for name, item in value.items()}
            elif key in ("allOf", "anyOf", "oneOf", "prefixItems") and isinstance(value, list):
                made[key] = [self._schema(item, around) for item in value]
            elif key in ("items", "additionalProperties", "not", "contains", "propertyNames"):
                made[key] = self._schema(value, around)
            elif key not in _DROPPED and not key.startswith("x-"):
                made[key] = value
        return _of_version_3_0(made)

    def _problem(self, message: str) -> InvalidDocument:
        return InvalidDocument(f"{self._where}: {message}")


def _of_version_3_0(schema: dict[str, Any]) -> dict[str, Any]:
    """What the older version writes otherwise than JSON Schema."""
    if schema.pop("nullable", False) is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(bound), bool):
            exclusive = schema.pop(bound)
            if exclusive and limit in schema:
                schema[bound] = schema.pop(limit)
    schema.pop("readOnly", None)
    schema.pop("writeOnly", None)
    return schema
