"""What the API server refuses, as exceptions a caller can tell apart.

Must never carry request bodies or credentials: messages end up in conditions and logs.
"""

from collections.abc import Mapping
from typing import Any


class ConfigError(Exception):
    """The access to the cluster is not configured well; the message names file, field and cure."""


class ApiError(Exception):
    """The API server answered with an error, or not at all.

    `status` is the HTTP status (0: there was no answer), `reason` the server's CamelCase reason, `message`
    its text, `details` its details object, `request` the verb and path, `retry_after` the seconds the server
    asked to wait.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        request: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.request = request
        self.retry_after = retry_after
        told = f"{status} {reason}" if status else reason
        super().__init__(f"{request}: {told}: {message}" if request else f"{told}: {message}")


class Unauthorized(ApiError):
    """401: the credentials are not (or no longer) accepted."""


class Forbidden(ApiError):
    """403: the identity may not do this, or an admission controller refused."""


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: the object changed meanwhile, or a precondition (uid, resourceVersion) does not hold."""


class AlreadyExists(ApiError):
    """409 on create: an object of this name exists. Whose it is, only a GET tells."""


class Gone(ApiError):
    """410: the resourceVersion or the continue token is too old; list again."""


class Invalid(ApiError):
    """400 and 422: the object or the request is malformed."""


class Unavailable(ApiError):
    """No answer, 429 or 5xx: nothing is known of the request's effect unless the status is 429."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Unavailable,
}


def error_from(status: int, body: object, *, request: str = "", retry_after: float | None = None) -> ApiError:
    """The exception for an answer: `body` is the parsed `Status`, or the text some proxy sent instead."""
    told: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    message = str(told.get("message") or "") or (body[:500].strip() if isinstance(body, str) else "")
    reason = str(told.get("reason") or "")
    details = told.get("details")
    kind = AlreadyExists if status == 409 and reason == "AlreadyExists" else _BY_STATUS.get(status)
    if kind is None:
        kind = Unavailable if status >= 500 else ApiError
    return kind(
        status,
        reason or kind.__name__,
        message or "no message",
        details if isinstance(details, Mapping) else None,
        request=request,
        retry_after=retry_after,
    )
