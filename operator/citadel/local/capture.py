"""What one attempt prints, line by line: bounded, masked, never interpreted."""

import asyncio
import codecs
import os
from collections.abc import Callable, Iterable

from citadel.core.jsonvalues import Json

#: Characters after which a line without an end is passed on as it is.
LINE_LIMIT = 64 * 1024
#: Bytes of log that an attempt may print; what follows is dropped, with a visible mark.
LOG_LIMIT = 10 * 1024 * 1024
TAIL = 2048

Log = Callable[[str, str], None]
"""Gets stream and line."""


class Output:
    """The log of one attempt."""

    def __init__(self, log: Log, secrets: Iterable[str] = ()) -> None:
        self._log = log
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)
        self._size = 0
        self.tail = ""
        """The last of what was printed."""

    async def follow(self, stream: str, reader: asyncio.StreamReader) -> None:
        """Passes on what a stream says, until it ends."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while data := await reader.read(LINE_LIMIT):
            rest += decoder.decode(data)
            *lines, rest = rest.split("\n")
            for line in lines:
                self._line(stream, line)
            while len(rest) >= LINE_LIMIT:
                self._line(stream, rest[:LINE_LIMIT])
                rest = rest[LINE_LIMIT:]
        rest += decoder.decode(b"", final=True)
        if rest:
            self._line(stream, rest)

    def note(self, line: str) -> None:
        """Says something that is not the step's."""
        self._log("system", line)

    def masked(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def masked_value(self, value: Json) -> Json:
        """The value without secrets."""
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, list):
            return [self.masked_value(item) for item in value]
        if isinstance(value, dict):
            return {key: self.masked_value(item) for key, item in value.items()}
        return value

    def _line(self, stream: str, line: str) -> None:
        if self._size > LOG_LIMIT:
            return
        line = self.masked(line)
        self._size += len(line.encode("utf-8", "replace")) + 1
        if self._size > LOG_LIMIT:
            stream, line = "system", f"log cut: more than {LOG_LIMIT >> 20} MiB"
        self.tail = f"{self.tail}{line}\n"[-TAIL:]
        self._log(stream, line)


async def open_pipe() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """A pipe: reader, its transport, and the descriptor to write to, which the caller closes."""
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT, loop=loop)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(reading, "rb", 0)
    )
    return reader, transport, writing
