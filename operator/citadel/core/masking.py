"""Takes credentials out of what servers say that were sent them. Pure."""

import base64
import binascii
import json
from collections.abc import Iterator
from urllib.parse import quote

from citadel.core.jsonvalues import Json

#: A credential shorter than this is not looked for: it would be found everywhere.
_SHORTEST = 4
#: Where a text was cut off within a credential, so much of its beginning is taken out.
_BEGINNING = 6
_MASKED = "***"


class Mask:
    """Takes a credential out of what comes back."""

    def __init__(self, credential: str | None) -> None:
        self._forms = sorted(set(_forms(credential or "")), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without it."""
        for form in self._forms:
            text = text.replace(form, _MASKED)
        return text

    def excerpt(self, text: str) -> str:
        """A text that was cut off, perhaps within the credential, without it."""
        text = self.text(text)
        for form in self._forms:
            for length in range(len(form) - 1, _BEGINNING - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + _MASKED
        return text

    def value(self, value: Json) -> Json:
        """The value without it."""
        if not self._forms:
            return value
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {self.text(key): self.value(item) for key, item in value.items()}
        return value


def _forms(credential: str) -> Iterator[str]:
    """How a credential may come back: as it is, and as common encodings have it."""
    if len(credential) < _SHORTEST:
        return
    yield credential
    yield quote(credential, safe="")
    yield json.dumps(credential)[1:-1]
    yield from _in_base64(credential.encode())
    try:
        # As of `Authorization: Basic`: what is within is as secret.
        plain = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    if plain.isprintable():
        yield from (part for part in (plain, plain.partition(":")[2]) if len(part) >= _SHORTEST)


def _in_base64(credential: bytes) -> Iterator[str]:
    """Alone, and within something longer: there its letters depend on where it begins, and the first and the
    last are shared with what is about it."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(credential).decode()
        for before in range(3):
            letters = encode(bytes(before) + credential).decode()
            own = letters[-(-before * 8 // 6) : (before + len(credential)) * 8 // 6]
            if len(own) >= _BEGINNING:
                yield own
