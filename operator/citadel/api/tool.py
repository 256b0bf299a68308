"""The Tool resource: something that agents, and steps, may call with typed arguments."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.actions import Child, Run
from citadel.api.agent import Description, Version
from citadel.api.egress import url_of_a_host
from citadel.api.meta import Duration, KeyRef, Model
from citadel.api.workflow import DefinitionStatus

KINDS = ("http", "mcp", "workflow", "code")
_PLACE = r"[$][{]args([.][A-Za-z_][A-Za-z0-9_]*)+[}]"
#: The host is never templated; arguments stand in the path alone, and in the query by its own field.
URL_PATTERN = rf"^https?://[a-z0-9.-]+(:[0-9]{{1,5}})?(/([A-Za-z0-9._~%!*'(),;:@&=+/-]|{_PLACE})*)?$"
MCP_URL_PATTERN = r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
#: One line, so that a header cannot become two.
LINE_PATTERN = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
HEADER_PATTERN = r"^[A-Za-z][A-Za-z0-9-]*$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
_HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN, min_length=1, max_length=128)]
_Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN, max_length=8192)]
_Text = Annotated[str, StringConstraints(max_length=8192)]
#: Headers that say to whom, and how, a request is sent: these are not the author's.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})


class ToolCredential(Model):
    """By what a server knows who calls. No agent ever sees it."""

    secret_key_ref: KeyRef
    """A key of a Secret in the namespace of the Tool. Its annotation citadel.dev/hosts lists, as host:port
    with commas between, where it may be sent; without it nowhere."""
    header: _HeaderName = "Authorization"
    """Header in which it is sent."""
    prefix: Annotated[str, StringConstraints(pattern=LINE_PATTERN, max_length=64)] = "Bearer "
    """What stands before it there."""


class OpenApi(Model):
    """One operation of an API that an OpenAPI document describes."""

    config_map_key_ref: KeyRef
    """A key of a ConfigMap in the namespace of the Tool: the document, as YAML or JSON."""
    operation: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Its operationId."""


class Http(Model):
    """A request by HTTP, made outside of any sandbox: a template that arguments fill in, or an operation of
    an OpenAPI document."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] | None = None
    """Method; without it POST. With openapi it is the operation's."""
    url: Annotated[
        str, StringConstraints(pattern=URL_PATTERN, max_length=2048), AfterValidator(url_of_a_host)
    ]
    """URL, with arguments in dollar-brace form in its path alone; with openapi where the API is."""
    query: Annotated[dict[str, _Text], Field(max_length=64)] = Field(default_factory=dict)
    """Query by name; may hold arguments in dollar-brace form."""
    headers: Annotated[dict[_HeaderName, _Line], Field(max_length=32)] = Field(default_factory=dict)
    """Headers by name; may hold arguments in dollar-brace form."""
    body: Any = None
    """Body: JSON with arguments in dollar-brace form; without it none."""
    credential: ToolCredential | None = None
    """By what the server knows who calls."""
    openapi: OpenApi | None = None
    """The operation of an OpenAPI document that is called, instead of a template."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.openapi is not None:
            for name in ("method", "query", "body"):
                if getattr(self, name):
                    raise ValueError(f"found {name} beside openapi, whose operation says it; leave it out")
        for text in _texts([self.url, self.query, self.headers, self.body]):
            if "${" in re.sub(_PLACE, "", text):
                raise ValueError(
                    f"found {text!r:.100}, expected arguments alone in dollar-brace form, such as"
                    " ${args.id}"
                )
        names = [name.lower() for name in self.headers]
        if own := sorted(_OWN_HEADERS.intersection(names)):
            raise ValueError(f"found the header {own[0]}, which is not the tool's to set; leave it out")
        if self.credential is not None:
            if self.url.startswith("http:"):
                raise ValueError("found a credential and a URL without TLS, expected https")
            if self.credential.header.lower() in names:
                raise ValueError(
                    f"found the header {self.credential.header} beside the credential, which is sent in it"
                )
        return self


class Mcp(Model):
    """A server that speaks MCP by streamable HTTP; its functions are pinned by digest."""

    url: Annotated[
        str, StringConstraints(pattern=MCP_URL_PATTERN, max_length=2048), AfterValidator(url_of_a_host)
    ]
    """URL where it answers."""
    credential: ToolCredential | None = None
    """By what the server knows who calls."""
    digest: Annotated[str, StringConstraints(pattern=DIGEST_PATTERN, max_length=71)] | None = None
    """Digest of its functions as they were when somebody looked at them. Without it the Tool is not Ready,
    and its condition says the digest of now."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.credential is not None and self.url.startswith("http:"):
            raise ValueError("found a credential and a URL without TLS, expected https")
        return self


class ToolSpec(Model):
    """Something that agents may call: a request by HTTP, an MCP server, a workflow, or code."""

    description: Description | None = None
    """What a model is told of it. An MCP server and an OpenAPI document say it themselves."""
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, an object. A workflow has that of its inputs; an MCP server and an
    OpenAPI document say it themselves."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of what it gives, checked when it has."""
    version: Version | None = None
    """Its version, such as 1.2.0."""
    timeout: Duration = "30s"
    """Longest time of one call."""
    http: Http | None = None
    """Kind: a request by HTTP."""
    mcp: Mcp | None = None
    """Kind: functions of an MCP server."""
    workflow: Child | None = None
    """Kind: another workflow, run as an Execution of its own; arguments are its inputs."""
    code: Run | None = None
    """Kind: code in a language runtime, in a sandbox of its own for each call."""

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = [name for name in KINDS if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {' and '.join(found) or 'no kind'}, expected exactly one of {', '.join(KINDS)}"
            )
        told = self.mcp is not None or (self.http is not None and self.http.openapi is not None)
        by = "mcp" if self.mcp is not None else "http.openapi"
        if told and self.parameters is not None:
            raise ValueError(f"found parameters beside {by}, which says them; leave them out")
        if not told and self.description is None:
            raise ValueError("found no description, expected what a model is told of it")
        if not told and self.workflow is None and self.parameters is None:
            raise ValueError(f"found no parameters, expected a JSON Schema of the arguments of {found[0]}")
        if self.parameters is not None and self.parameters.get("type") != "object":
            raise ValueError(
                f"found parameters of the type {self.parameters.get('type')!r}, expected a JSON Schema"
                " with type: object"
            )
        return self


class ToolFunction(Model):
    """A function of an MCP server, or an operation of an API, as it says it is."""

    name: Annotated[str, StringConstraints(max_length=256)]
    """What the server calls it."""
    description: Annotated[str, StringConstraints(max_length=4096)] = ""
    """What it says of it."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """JSON Schema of its arguments."""


class ToolStatus(DefinitionStatus):
    """Whether a tool can be called, and what it turned out to be."""

    digest: Annotated[str, StringConstraints(max_length=71)] | None = None
    """Digest of the functions below."""
    functions: Annotated[
        tuple[ToolFunction, ...], Field(max_length=256, json_schema_extra={"map": "name"})
    ] = ()
    """What the server said its functions are when it was last asked."""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
