"""One tunnel after another over one TLS connection: each direction in frames, and an end that is not TLS's.

A frame is its length in two bytes, then so many bytes; length 0 ends its direction. They are there because a
handshake costs more than all else that is on the way of a connection.
"""

from citadel.egress.tls import TlsStream

_MOST = 0xFFFF


class Frames:
    """The bytes of one tunnel; with both ends said, the stream is as it was before it."""

    def __init__(self, stream: TlsStream) -> None:
        self._stream = stream
        self._held = b""
        """What has come and is not given out yet."""
        self._left = 0
        """Bytes of the frame that is being read which are still to be given out."""
        self._ends = [False, False]

    @property
    def ended(self) -> bool:
        """Whether both directions have ended in order."""
        return all(self._ends)

    async def read(self) -> bytes:
        """Some bytes, or none at the end of what the sandbox sends; raises OSError when it is cut."""
        while True:
            if self._left and self._held:
                data, self._held = self._held[: self._left], self._held[self._left :]
                self._left -= len(data)
                return data
            if not self._left and len(self._held) >= 2:
                self._left, self._held = int.from_bytes(self._held[:2]), self._held[2:]
                if not self._left:
                    # Its next request may have come with the end of this one.
                    self._stream.unread(self._held)
                    self._ends[0] = True
                    return b""
                continue
            data = await self._stream.read()
            if not data:
                raise ConnectionResetError("the connection ended within a tunnel")
            self._held += data

    async def write(self, data: bytes) -> None:
        """Sends, and waits while the sandbox takes nothing; raises OSError."""
        for at in range(0, len(data), _MOST):
            part = data[at : at + _MOST]
            await self._stream.write(len(part).to_bytes(2) + part)

    async def send_eof(self) -> None:
        """Says that nothing more is sent in this tunnel."""
        await self._stream.write(b"\0\0")
        self._ends[1] = True
