"""Server-sent events as clients read them: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from collections.abc import AsyncIterable, AsyncIterator


async def events(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, as it comes; what else an event may say is left out.

    Lines end by LF or CRLF: those who write CR alone are not known to exist.
    """
    rest, data = b"", bytearray()
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            said = line.removesuffix(b"\r")
            if said.startswith(b"data:"):
                data += said[5:].removeprefix(b" ") + b"\n"
            elif not said and data:
                yield bytes(data[:-1])
                data.clear()
