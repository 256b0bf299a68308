"""What one step leaves for the next: `leave_…` hides it, the function without that word looks for it.

Shipped as source into sandboxes and twins: it imports nothing of ours.
"""

import builtins
import contextlib
import ctypes
import glob
import json
import os
import signal
import socket
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
SECRET = "left-by-another-step"


def leave_files(facts: dict) -> object:
    for place in ("/work", "/tmp", "/dev/shm"):
        os.makedirs(f"{place}/.hidden/deep", exist_ok=True)
        with open(f"{place}/.hidden/deep/note", "w") as file:
            file.write(SECRET)
        os.chmod(f"{place}/.hidden", 0o300)
    return "left"


def files(facts: dict) -> object:
    for place in ("/work", "/tmp", "/dev/shm"):
        if os.path.exists(f"{place}/.hidden/deep/note"):
            return place
    raise FileNotFoundError(str({place: os.listdir(place) for place in ("/work", "/tmp", "/dev/shm")}))


def leave_process(facts: dict) -> object:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open("/proc/self/comm", "w") as file:
                file.write("hideout")
            time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    return "left"


def process(facts: dict) -> object:
    for path in glob.glob("/proc/[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path) as file:
            if file.read().strip() == "hideout":
                return path
    raise LookupError("no process of another step")


def leave_listener(facts: dict) -> object:
    """Beside every process: a listener that a child keeps open."""
    one = socket.socket()
    one.bind(("127.0.0.1", 7979))
    one.listen()
    if os.fork() == 0:
        time.sleep(60)
    return "left"


def listener(facts: dict) -> object:
    with socket.create_connection(("127.0.0.1", 7979), timeout=1):
        return "a connection"


def leave_shared_memory(facts: dict) -> object:
    number = LIBC.shmget(0x4242, 4096, 0o1666)
    LIBC.shmat.restype = ctypes.c_void_p
    ctypes.memmove(LIBC.shmat(number, None, 0), SECRET.encode(), len(SECRET))
    return number


def shared_memory(facts: dict) -> object:
    number = LIBC.shmget(0x4242, 0, 0o600)
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


def leave_message(facts: dict) -> object:
    number = LIBC.msgget(0x4242, 0o1666)
    return LIBC.msgsnd(
        number, ctypes.create_string_buffer(b"\1" + bytes(7) + SECRET.encode()), len(SECRET), 0
    )


def message(facts: dict) -> object:
    number = LIBC.msgget(0x4242, 0o600)
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


def leave_in_the_interpreter(facts: dict) -> object:
    builtins.left = SECRET
    json.left = SECRET
    os.environ["LEFT"] = SECRET
    sys.path.insert(0, "/tmp")
    json.dumps = lambda *_, **__: '"forged"'
    return "left"


def in_the_interpreter(facts: dict) -> object:
    found = [hasattr(builtins, "left"), hasattr(json, "left"), "LEFT" in os.environ, "/tmp" in sys.path]
    if not any(found):
        raise LookupError("nothing of another step in modules, builtins, environment and path")
    return found


def leave_in_memory(facts: dict) -> object:
    """Many copies, so that freed pages and arenas hold some."""
    global kept
    kept = [f"{SECRET[:4]}{SECRET[4:]}-{number}" for number in range(20_000)]
    return "left"


def in_memory(facts: dict) -> object:
    """Whatever this process can still read of itself: its heap, and what it was forked with."""
    wanted = "".join(reversed("pets-rehtona-yb-tfel")).encode() + b"-1"
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.read().splitlines():
            if " rw" not in line or "[v" in line:
                continue
            start, end = (int(edge, 16) for edge in line.split()[0].split("-"))
            memory.seek(start)
            try:
                read = memory.read(min(end - start, 64 << 20))
            except OSError:
                continue
            for number in range(10_000, 10_050):
                if wanted + str(number).encode()[1:] in read:
                    return f"copy {number} at {start:x}"
    raise LookupError("no trace in memory")


def leave_working_directory(facts: dict) -> object:
    os.makedirs("/tmp/there", exist_ok=True)
    os.chdir("/tmp/there")
    os.umask(0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.nice(5)
    return os.getcwd()


def working_directory(facts: dict) -> object:
    mask = os.umask(0o22)
    found = [
        os.getcwd() == "/tmp/there",
        mask == 0,
        signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN,
        os.nice(0) > 0,
    ]
    if not any(found):
        raise LookupError("directory, umask, signals and priority are as new")
    return found


def leave_inherited_limits(facts: dict) -> object:
    """Limits of the processes from which the next step is made: the uid is the same, so asking is free."""
    import resource

    changed = []
    for name in sorted(os.listdir("/proc")):
        if name.isdigit():
            soft, hard = resource.prlimit(int(name), resource.RLIMIT_NOFILE)
            resource.prlimit(int(name), resource.RLIMIT_NOFILE, (64, hard))
            changed.append((name, soft))
    return changed


def inherited_limits(facts: dict) -> object:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == 64:
        return soft
    raise LookupError(f"{soft} descriptors, as ever")
