"""A program on a terminal of its own, and what it shows there."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress


class Terminal:
    """A terminal of some size with a program on it; `text` is all that it wrote."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master, self._process = master, process
        self.text = ""

    def read(self) -> None:
        """Takes what was written meanwhile."""
        with suppress(OSError):
            self.text += os.read(self._master, 1 << 16).decode(errors="replace")

    async def shows(self, condition: Callable[[str], bool], within: float = 20) -> bool:
        """Whether the text becomes so, in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not condition(self.text):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def type(self, text: str) -> None:
        """Somebody types; `\\x03` is Ctrl-C."""
        os.write(self._master, text.encode())

    def resize(self, width: int, height: int) -> None:
        """Somebody draws the window to another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def end(self) -> int:
        """Waits for the program's end; its exit code."""
        return await asyncio.wait_for(self._process.wait(), 20)


@asynccontextmanager
async def on_terminal(
    *command: str, env: Mapping[str, str], width: int = 120, height: int = 40
) -> AsyncIterator[Terminal]:
    """Runs a program on a terminal; it ends with the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def controlling() -> None:
        # Whoever runs these tests in the background ignores it, and so would the program.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    # Workers that run tests have a width of their own, which would count for more than the terminal's.
    given = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**given, "TERM": env.get("TERM", "") if env.get("TERM") == "dumb" else "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=controlling,
    )
    os.close(slave)
    terminal = Terminal(master, process)
    asyncio.get_running_loop().add_reader(master, terminal.read)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        terminal.read()
        os.close(master)
