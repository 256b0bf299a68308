"""Tools as they are in the cluster now: found, checked, and made into what definitions pin of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.api.actions import Run
from citadel.api.model import destination_of
from citadel.api.reasons import Reason
from citadel.api.tool import ToolSpec, ToolStatus
from citadel.api.validate import InvalidObject, parse, without_nulls
from citadel.controller.checking import Unusable, checked
from citadel.controller.credentials import Credential, read_credential
from citadel.controller.objects import not_ready, status_of
from citadel.controller.openapi import Documents
from citadel.controller.policies import PoliciesOf, check_reachable
from citadel.controller.referring import References, Unread
from citadel.controller.shelf import Shelf
from citadel.core.inputs import InvalidSchema, compile_inputs
from citadel.core.mcp import digest_of
from citadel.core.openapi import Operation
from citadel.core.operations import templated
from citadel.core.outputs import compile_output
from citadel.core.values import ByReference
from citadel.kube.resources import RUNTIMES, TOOLS, WORKFLOWS, Object

#: Seconds between two looks at what stands in a ConfigMap, as nobody watches those.
READ_AGAIN = 60.0
_PLACE = re.compile(r"[$][{]args[.]([A-Za-z_][A-Za-z0-9_]*)")
_ANYTHING: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True)
class FoundTool:
    """A Tool."""

    namespace: str
    name: str
    spec: ToolSpec
    obj: Object = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def destination(self) -> str | None:
        """Where it is called, as `host:port`; None for one that is nowhere."""
        remote = self.spec.http or self.spec.mcp
        return None if remote is None else destination_of(remote.url)

    @property
    def raw(self) -> dict[str, Any]:
        """The spec as it is written, without fields that are left empty."""
        found: dict[str, Any] = without_nulls(ToolSpec, self.obj["spec"])
        return found

    @property
    def status(self) -> ToolStatus:
        """What was found out about it; nothing where that cannot be read."""
        try:
            return ToolStatus.model_validate(status_of(self.obj))
        except ValueError:
            return ToolStatus()

    @property
    def pinned_functions(self) -> dict[str, dict[str, Any]] | None:
        """The functions of an MCP server that the Tool pins, by name; None while nobody knows them."""
        status = self.status
        if self.spec.mcp is None or self.spec.mcp.digest is None or status.digest != self.spec.mcp.digest:
            return None
        found = {
            item.name: {"description": item.description, "parameters": item.parameters}
            for item in status.functions
        }
        return found if digest_of(found) == status.digest else None


class Tools:
    """Finds Tools, and reads what they need."""

    def __init__(
        self, shelf: Shelf, references: References, policies: PoliciesOf, documents: Documents
    ) -> None:
        self._shelf, self._references = shelf, references
        self._policies, self._documents = policies, documents
        self.shared = shelf.shared

    async def find(self, namespace: str, name: str) -> FoundTool:
        """The Tool of this namespace, else the shared one; raises Unusable."""
        obj = await self._shelf.find(TOOLS, namespace, name)
        if obj is None:
            message = f"Tool {name} exists {self._shelf.where(namespace)}"
            raise Unusable(Reason.TOOL_NOT_FOUND, message, waits=True)
        return read_tool(obj)

    async def credential(self, tool: FoundTool) -> Credential | None:
        """Its credential, for its own server alone; None if it has none. Raises Unusable."""
        remote = tool.spec.http or tool.spec.mcp
        if remote is None or remote.credential is None:
            return None
        ref, whose = remote.credential.secret_key_ref, f"Tool {tool.name}"
        return await read_credential(self._references, tool.namespace, ref, whose, tool.destination)

    async def permitted(self, tool: FoundTool) -> None:
        """Raises Unusable where no step of the Tool's namespace could reach it."""
        if tool.destination is None or tool.namespace == self._shelf.shared:
            return  # a shared one serves every namespace: each has policies of its own
        await check_reachable(self._policies, tool.namespace, tool.destination, f"Tool {tool.name}")

    async def pinned(self, tool: FoundTool, namespace: str) -> dict[str, Any]:
        """What a definition of `namespace` pins of a Tool; raises Unusable."""
        spec = tool.spec
        if spec.mcp is not None:
            _check_arguments(tool, spec, None)
            functions = tool.pinned_functions
            if functions is None:
                raise not_ready(tool.obj, "Tool") or Unusable(
                    Reason.NOT_PINNED, f"Tool {tool.name}: nobody knows its functions yet", waits=True
                )
            return {"spec": tool.raw, "functions": functions, "parameters": dict(_ANYTHING)}
        raw = tool.raw
        if spec.http is not None and spec.http.openapi is not None:
            raw, spec = _templated(tool, await self._operation(tool))
        if spec.code is not None:
            await self._check_runtime(tool, spec.code.runtime, namespace)
            if spec.code.code_from is not None:
                raw = {**raw, "code": await self._inlined(tool, spec.code)}
        parameters = spec.parameters
        if spec.workflow is not None and namespace != self._shelf.shared:
            inputs = await self._inputs(tool, namespace)
            parameters = inputs if parameters is None else parameters
        _check_arguments(tool, spec, parameters)
        return {"spec": raw, "parameters": parameters or dict(_ANYTHING)}

    async def _operation(self, tool: FoundTool) -> Operation:
        assert tool.spec.http is not None
        assert tool.spec.http.openapi is not None
        where = f"Tool {tool.name}, http.openapi"
        return await self._documents.operation(tool.namespace, tool.spec.http.openapi, where)

    async def _check_runtime(self, tool: FoundTool, runtime: str, namespace: str) -> None:
        if await self._shelf.find(RUNTIMES, namespace, runtime) is None:
            message = f"Tool {tool.name}, code: Runtime {runtime} exists {self._shelf.where(namespace)}"
            raise Unusable(Reason.RUNTIME_NOT_FOUND, message, waits=True)

    async def _inlined(self, tool: FoundTool, code: Run) -> dict[str, Any]:
        """The code of a Tool, with the text where its ConfigMap was named."""
        assert code.code_from is not None
        ref = code.code_from.config_map_key_ref
        by = ByReference("ConfigMap", ref.name, ref.key)
        try:
            text, _ = await self._references.read(tool.namespace, by, f"Tool {tool.name}, code.codeFrom")
        except Unread as unread:
            raise Unusable(Reason.CODE_NOT_FOUND, unread.message, waits=True) from None
        inlined = {key: value for key, value in tool.raw["code"].items() if key != "codeFrom"} | {
            "code": text
        }
        _parsed(tool, {**tool.raw, "code": inlined}, "code.codeFrom")
        return inlined

    async def _inputs(self, tool: FoundTool, namespace: str) -> dict[str, Any]:
        """The arguments of a Workflow, as it is now; the Execution is of the namespace where it is called."""
        assert tool.spec.workflow is not None
        name = tool.spec.workflow.name
        try:
            found = await self._shelf.own(WORKFLOWS, namespace, name)
            if found is None:
                message = f"Workflow {name} does not exist in namespace {namespace}"
                raise Unusable(Reason.WORKFLOW_NOT_FOUND, message, waits=True)
            return checked(found).inputs or dict(_ANYTHING)
        except Unusable as problem:
            message = f"Tool {tool.name}, workflow: {problem.message}"
            raise Unusable(problem.reason, message[:1024], waits=True) from None


def read_tool(obj: Object) -> FoundTool:
    """The Tool of an object; raises Unusable."""
    try:
        spec = parse("Tool", obj)
    except InvalidObject as error:
        raise Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False) from None
    return FoundTool(obj["metadata"]["namespace"], obj["metadata"]["name"], spec, obj)


def schema_problem(schema: Mapping[str, Any], where: str, *, arguments: bool = True) -> Unusable | None:
    """Why a schema cannot be used; None if it can."""
    try:
        if arguments:
            compile_inputs(schema)
        else:
            compile_output(schema)
    except InvalidSchema as error:
        return Unusable(Reason.INVALID_SPEC, f"{where}: {error}"[:1024], waits=False)
    return None


def _check_arguments(tool: FoundTool, spec: ToolSpec, parameters: Mapping[str, Any] | None) -> None:
    """Raises Unusable for schemas that cannot be used, and templates whose arguments nobody declares."""
    whose = f"Tool {tool.name}"
    problem = schema_problem(parameters or _ANYTHING, f"{whose}, parameters")
    if problem is None and spec.output_schema is not None:
        problem = schema_problem(spec.output_schema, f"{whose}, outputSchema", arguments=False)
    if problem is not None:
        raise problem
    if spec.http is None or parameters is None:
        return
    declared = parameters.get("properties")
    declared = declared if isinstance(declared, dict) else {}
    closed = parameters.get("additionalProperties") is False and "patternProperties" not in parameters
    needed = parameters.get("required")
    for place, texts in (
        ("url", spec.http.url),
        ("query", spec.http.query),
        ("headers", spec.http.headers),
        ("body", spec.http.body),
    ):
        for name in dict.fromkeys(_PLACE.findall(str(texts))):
            where = f"{whose}, http.{place}: found args.{name}"
            if closed and name not in declared:
                told = ", ".join(declared) or "none"
                message = f"{where}, expected one that parameters declare: {told}"
                raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=False)
            known = declared.get(name)
            has_default = isinstance(known, dict) and "default" in known
            optional = name in declared and not (isinstance(needed, list) and name in needed)
            if place == "url" and optional and not has_default:
                message = f"{where}, which may be missing: expected it in parameters.required"
                raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=False)


def _templated(tool: FoundTool, operation: Operation) -> tuple[dict[str, Any], ToolSpec]:
    """A Tool that names an operation, as the template of its request."""
    said = templated(tool.raw, operation)
    return said, _parsed(tool, said, "http.openapi")


def _parsed(tool: FoundTool, spec: dict[str, Any], where: str) -> ToolSpec:
    """A spec into which something was read from a ConfigMap; raises Unusable."""
    try:
        return parse("Tool", {**tool.obj, "spec": spec})
    except InvalidObject as error:
        message = f"Tool {tool.name}, {where}, as it was read: {error}"
        raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=True) from None
