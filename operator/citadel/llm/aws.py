"""Credentials of Amazon's: what a Secret holds of them. Pure."""

import json
import re
from dataclasses import dataclass, field

_HOST = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)")
_EXPECTED = (
    "expected JSON: {accessKeyId, secretAccessKey, region}, with sessionToken where there is one, or "
    "{bearerToken, region}"
)
_FIELDS = ("accessKeyId", "secretAccessKey", "sessionToken", "bearerToken", "region")


class InvalidCredential(ValueError):
    """A credential that is none of Amazon's; the message never holds any of it."""


@dataclass(frozen=True)
class AwsCredential:
    """A key, or a token, and the region it is used in."""

    region: str
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that nobody is to read."""
        found = (self.access_key_id, self.secret_access_key, self.session_token, self.bearer_token)
        return tuple(text for text in found if text)

    @classmethod
    def parse(cls, text: str) -> "AwsCredential":
        """Raises InvalidCredential."""
        try:
            found = json.loads(text)
        except ValueError:
            raise InvalidCredential(f"found no JSON, {_EXPECTED}") from None
        if not isinstance(found, dict):
            raise InvalidCredential(f"found no object, {_EXPECTED}")
        for name in _FIELDS:
            value = found.get(name)
            if value is not None and not (isinstance(value, str) and value.isascii() and value.isprintable()):
                raise InvalidCredential(f"{name}: found no text that a header can hold, {_EXPECTED}")
        given = {name: str(found[name]).strip() for name in _FIELDS if found.get(name)}
        keys = "accessKeyId" in given and "secretAccessKey" in given
        if "region" not in given or not (keys or "bearerToken" in given):
            told = ", ".join(given) or "none of them"
            raise InvalidCredential(f"found {told}, {_EXPECTED}")
        return cls(
            given["region"],
            given.get("accessKeyId"),
            given.get("secretAccessKey"),
            given.get("sessionToken"),
            given.get("bearerToken"),
        )


def region_of(host: str) -> str | None:
    """The region of one of Amazon's own endpoints of models; None for any other host."""
    found = _HOST.fullmatch(host)
    return None if found is None else found[1]
