"""What servers of tools give back of a credential is told to nobody, however they are asked."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from citadel.api.tool import ToolSpec
from citadel.calls.exchanges import ToolError
from citadel.calls.servers import call_tool, list_functions
from citadel.core.toolcalls import ToolTask

SESAME = "open-sesame-123"
REMOTE = {"url": "https://a.example.com/mcp", "credential": {"secretKeyRef": {"name": "s", "key": "k"}}}


def echoing(request: httpx2.Request) -> httpx2.Response:
    async def body() -> AsyncIterator[bytes]:
        yield f"refused: {request.headers['authorization']}".encode()

    return httpx2.Response(403, content=body(), headers={"content-type": "text/plain"})


async def sending() -> None:
    """Nobody else could make the call."""


@pytest.mark.parametrize("kind", ["http", "mcp", "listing"])
async def test_a_refusal_that_repeats_the_credential_is_told_without_it(kind: str) -> None:
    schema = {"description": "Asks.", "parameters": {"type": "object"}}
    spec: dict[str, Any] = {"http": REMOTE, **schema} if kind == "http" else {"mcp": REMOTE}
    task = ToolTask("ask", ToolSpec.model_validate(spec), None, {}, None)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(echoing)) as client:
        listing = kind == "listing"
        with pytest.raises(ToolError) as caught:
            await (
                list_functions(client, task, SESAME)
                if listing
                else call_tool(client, task, SESAME, "key", sending)
            )
    assert "refused: Bearer ***" in caught.value.message
    assert SESAME not in caught.value.message
