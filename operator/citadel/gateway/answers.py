"""How both of the gateway's ports read a JSON body, answer in JSON, and tell what they do not serve."""

import json
import logging
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from citadel.gateway.refusals import Refused
from citadel.gateway.reports import clean
from citadel.store.journal import JournalUnavailable

log = logging.getLogger(__name__)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds; raises Refused."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Refused(400, "BadRequest", "the body: expected a JSON object")
    return data


def json_answer(data: Any, status: int = 200) -> web.Response:
    """An answer in UTF-8 without blanks: escaped, most of the world's text is two or three times larger."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


async def answered(answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """The answer, or why there is none."""
    try:
        return await answer
    except Refused as error:
        return _error(error.status, error.reason, error.message)
    except JournalUnavailable as error:
        log.warning("the journal is unavailable: %s", error)
        return _error(503, "JournalUnavailable", "the journal is away; try again")


def _error(status: int, reason: str, message: str) -> web.Response:
    return json_answer({"error": {"reason": reason, "message": clean(message)}}, status)
