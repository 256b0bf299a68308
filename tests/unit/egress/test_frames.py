"""Frames of a tunnel: what is said arrives, wherever it is cut, and what follows is the next request's."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.egress.frames import Frames
from citadel.egress.tls import TlsStream


class Stream(TlsStream):
    """Gives pieces one after another; then it has ended."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.sent = list(pieces), b""

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def unread(self, data: bytes) -> None:
        if data:
            self.pieces.insert(0, data)

    async def write(self, data: bytes) -> None:
        self.sent += data


async def everything(frames: Frames) -> bytes:
    return b"".join([data async for data in _pieces(frames)])


async def _pieces(frames: Frames):
    while data := await frames.read():
        yield data


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=5),
    st.binary(max_size=20),
    st.lists(st.integers(0, 1500), max_size=8),
)
def test_what_is_said_arrives_wherever_it_is_cut_and_what_follows_is_left(
    said: list[bytes], following: bytes, cuts: list[int]
) -> None:
    async def check() -> None:
        ours = Stream()
        sender = Frames(ours)
        for data in said:
            await sender.write(data)
        await sender.send_eof()
        wire = ours.sent + following
        places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
        parts = [wire[a:b] for a, b in pairwise(places) if a < b]
        theirs = Stream(*parts)
        receiver = Frames(theirs)
        assert await everything(receiver) == b"".join(said)
        assert b"".join(theirs.pieces) == following
        assert not receiver.ended
        await receiver.send_eof()
        assert receiver.ended

    asyncio.run(check())


async def test_more_than_a_frame_holds_goes_in_several() -> None:
    ours, data = Stream(), bytes(200_000)
    sender = Frames(ours)
    await sender.write(data)
    await sender.send_eof()
    assert await everything(Frames(Stream(ours.sent))) == data


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"", id="before a frame"),
        pytest.param(b"\0", id="in a length"),
        pytest.param(b"\0\5ab", id="in a frame"),
        pytest.param(b"\0\2ab", id="between frames"),
    ],
)
async def test_a_connection_that_ends_within_a_tunnel_is_no_end_of_the_tunnel(wire: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        await everything(Frames(Stream(wire)))
