"""What hostile code takes of the machine, without end or nearly so. Each returns how much it got.

Shipped as source into sandboxes and twins: it imports nothing of ours.
"""

import os
import signal
import threading
import time


def memory(facts: dict) -> object:
    """Twice what a sandbox has by default."""
    taken = [bytearray(os.urandom(1)) * (8 << 20) for _ in range(64)]
    return f"{sum(map(len, taken)) >> 20} MiB"


def processes(facts: dict) -> object:
    """As many as one parent can start, up to 700; they go with it."""
    started = []
    try:
        for _ in range(700):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            started.append(pid)
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
        for pid in started:
            os.waitpid(pid, 0)
    return f"{len(started)} processes"


def threads(facts: dict) -> object:
    threading.stack_size(64 << 10)
    over, started = threading.Event(), []
    try:
        for _ in range(700):
            one = threading.Thread(target=over.wait)
            one.start()
            started.append(one)
    finally:
        over.set()
        for one in started:
            one.join()
    return f"{len(started)} threads"


def files(facts: dict) -> object:
    """Twice what /work and /tmp hold together."""
    for number in range(16):
        with open(f"/tmp/{number}", "wb") as file:
            file.write(bytes(8 << 20))
    return f"{16 * 8} MiB of files"


def shared_memory(facts: dict) -> object:
    """The same beside the two places that are meant for files."""
    for number in range(16):
        with open(f"/dev/shm/bomb-{number}", "wb") as file:
            file.write(bytes(8 << 20))
    return f"{16 * 8} MiB of shared memory"


def names(facts: dict) -> object:
    """Files without content: each is an inode, and memory of the kernel."""
    os.makedirs("/tmp/names")
    for number in range(500_000):
        os.close(os.open(f"/tmp/names/{number}", os.O_CREAT | os.O_WRONLY))
    return f"{number + 1} files"


def descriptors(facts: dict) -> object:
    """Open files without end, in as many processes as it takes: each is memory of the kernel."""
    children = []
    reading, writing = os.pipe()
    for _ in range(64):
        pid = os.fork()
        if pid == 0:
            opened = []
            try:
                for _ in range(60_000):
                    opened.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            os.write(writing, f"{len(opened):6}\n".encode())
            time.sleep(60)
            os._exit(0)
        children.append(pid)
    os.close(writing)
    total = 0
    try:
        for _ in children:
            said = os.read(reading, 7)
            if len(said) < 7:
                raise OSError("a process has ended")
            total += int(said)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    if total < 1_200_000:
        raise OSError(f"{total} descriptors")
    return f"{total} descriptors"


def sockets(facts: dict) -> object:
    """Buffers that nobody reads."""
    import socket

    pairs = []
    for _ in range(4_000):
        one, other = socket.socketpair()
        one.setblocking(False)
        pairs.append((one, other))
        try:
            while True:
                one.send(bytes(1 << 16))
        except BlockingIOError:
            continue
    return f"{len(pairs)} pairs"
