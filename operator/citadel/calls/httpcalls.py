"""Tools that are one request by HTTP."""

import httpx2

from citadel.api.reasons import Reason
from citadel.calls.exchanges import Exchange, Sending, ToolError, body_of, kind_of_body, parsed, refusal
from citadel.core.httprequests import InvalidArgument, request_of
from citadel.core.jsonvalues import InvalidValue, Json, check
from citadel.core.toolcalls import ToolTask

_TEXTS = ("application/xml", "application/yaml", "application/x-yaml", "application/javascript")


async def call_http(
    client: httpx2.AsyncClient,
    task: ToolTask,
    credential: str | None,
    idempotency_key: str,
    sending: Sending,
) -> Json:
    """What the server answers: JSON, or text. Raises ToolError."""
    assert task.spec.http is not None
    try:
        request = request_of(task.spec.http, task.arguments or {})
    except InvalidArgument as error:
        raise ToolError(Reason.TOOL_REFUSED, str(error)) from None
    headers = list(request.headers)
    names = {name.lower() for name, _ in headers}
    if "accept" not in names:
        headers.append(("Accept", "application/json, text/*;q=0.8"))
    if "idempotency-key" not in names:
        headers.append(("Idempotency-Key", idempotency_key))
    headers += credential_header(task, credential)
    async with Exchange(client).ask(request.method, request.url, headers, request.body, sending) as response:
        if not response.is_success:
            raise await refusal(response)
        return _read(await body_of(response), *kind_of_body(response))


def credential_header(task: ToolTask, credential: str | None) -> list[tuple[str, str]]:
    """The header by which a server knows who calls."""
    given = task.credential
    if given is None:
        return []
    if credential is None:
        raise ToolError(Reason.TOOL_FAILED, "its credential was not given with the call")
    return [(given.header, f"{given.prefix}{credential}")]


def _read(body: bytes, kind: str, charset: str) -> Json:
    if not body:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        return parsed(body)
    if kind and not kind.startswith("text/") and kind not in _TEXTS and not kind.endswith("+xml"):
        message = f"found an answer of the type {kind[:100]}, expected JSON or text"
        raise ToolError(Reason.TOOL_FAILED, message, sent=True)
    try:
        return check(body.decode(charset))
    except (LookupError, UnicodeDecodeError):
        message = f"found an answer that is no text in {charset[:40]}"
        raise ToolError(Reason.TOOL_FAILED, message, sent=True) from None
    except InvalidValue as error:
        raise ToolError(Reason.TOOL_FAILED, f"the answer {error}", sent=True) from None
