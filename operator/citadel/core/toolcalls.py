"""What the process `tools` is told of a call, and of a check: the body of their rows. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.model import destination_of
from citadel.api.tool import Http, Mcp, ToolCredential, ToolSpec
from citadel.core.jsonvalues import Json
from citadel.core.mcp import function_digest

#: Under what the credential of a Tool is sealed: `PlacedCall.sealed`, `Check.sealed`.
CREDENTIAL = "credential"


@dataclass(frozen=True)
class ToolTask:
    """One call of a Tool, or a check of what it has: then without a function and without arguments."""

    name: str
    """Of the Tool."""
    spec: ToolSpec
    function: str | None = None
    """Which of an MCP server's."""
    arguments: Mapping[str, Json] | None = None
    digest: str | None = None
    """Of the function as it was pinned."""

    @property
    def remote(self) -> Http | Mcp:
        """Where it is asked."""
        found = self.spec.http or self.spec.mcp
        assert found is not None
        return found

    @property
    def credential(self) -> ToolCredential | None:
        """By what the server knows who calls."""
        return self.remote.credential

    @property
    def destination(self) -> str:
        """Where it is asked, as `host:port`."""
        return destination_of(self.remote.url)

    @property
    def idempotent(self) -> bool:
        """Whether a call does the same once or twice, by what its method means."""
        return self.spec.http is not None and self.spec.http.method in ("GET", "HEAD", "PUT", "DELETE")

    def __str__(self) -> str:
        """As messages name it."""
        return f"Tool {self.name}" + (f", function {self.function}" if self.function is not None else "")


def call_body(
    name: str,
    spec: Mapping[str, Any],
    arguments: Mapping[str, Json],
    function: str | None = None,
    pinned: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a call. `spec` is what a definition pins: an http one with its method and without openapi;
    `pinned` is the function of an MCP server as it pins that: description and parameters."""
    digest = None if function is None or pinned is None else function_digest(function, pinned)
    return {
        "name": name,
        "spec": dict(spec),
        "function": function,
        "arguments": dict(arguments),
        "digest": digest,
    }


def check_body(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a check of an MCP server."""
    return {"name": name, "spec": dict(spec)}


def read_body(body: Mapping[str, Any]) -> ToolTask:
    """What a body says; raises ValueError where that is no Tool."""
    spec = ToolSpec.model_validate(body["spec"])
    if spec.http is None and spec.mcp is None:
        raise ValueError(f"Tool {body['name']}: found {spec.kind}, expected http or mcp")
    return ToolTask(body["name"], spec, body.get("function"), body.get("arguments"), body.get("digest"))


def idempotency_key(uid: str, step: str, attempt: int) -> str:
    """By what a server can know that a call is one that it has had already."""
    return hashlib.sha256(f"{uid}/{step}/{attempt}".encode()).hexdigest()[:32]
