"""What hostile code tries on the processes and files around it: the shim, the harness, the runner, the image,
the host.

Shipped as source into sandboxes and twins: it imports nothing of ours.
"""

import contextlib
import ctypes
import json
import os
import platform
import socket

X86 = platform.machine() == "x86_64"
LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(x86: int, arm: int, *arguments: object) -> int:
    """One system call by its numbers; raises OSError."""
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    found = int(LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *words))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def others() -> list[int]:
    """Every process but this one and its own children."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())


def memory_of(pid: int) -> bytes:
    """The beginning of the first writable part of another process's memory."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            if " rw" in line:
                memory.seek(int(line.split("-")[0], 16))
                return memory.read(64)
    raise LookupError("no memory")


def environment_of_process_1(facts: dict) -> object:
    with open("/proc/1/environ", "rb") as file:
        return len(file.read())


def memory_of_process_1(facts: dict) -> object:
    return len(memory_of(1))


def memory_of_anyone(facts: dict) -> object:
    """Parents and strangers alike: the shim, and the warm harness from which every step is forked."""
    errors = []
    for pid in others():
        try:
            return f"{pid}: {len(memory_of(pid))} bytes"
        except (OSError, LookupError) as error:
            errors.append(f"{pid}: {error}")
    raise PermissionError("; ".join(errors))


def write_into_process_1(facts: dict) -> object:
    return os.open("/proc/1/mem", os.O_RDWR)


def read_by_system_call(facts: dict) -> object:
    """process_vm_readv, which opens no file; an address that is not there asks for the right as well."""
    here = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(here), 8)
    remote = (ctypes.c_void_p * 2)(0x1000, 8)
    try:
        return syscall(310, 270, 1, local, 1, remote, 1, 0)
    except OSError as error:
        if error.errno == 14:  # EFAULT: the right was there
            return "allowed"
        raise


def trace_process_1(facts: dict) -> object:
    return syscall(101, 117, 0x4206, 1, 0, 0)  # PTRACE_SEIZE


def steal_a_connection(facts: dict) -> object:
    """A descriptor out of process 1, such as its connection to the runner."""
    process = syscall(434, 434, 1, 0)
    for number in range(3, 64):
        try:
            return syscall(438, 438, process, number, 0)
        except OSError as error:
            if error.errno != 9:  # EBADF: there is none of this number
                raise
    return syscall(438, 438, process, 1, 0)


def descriptors_of_process_1(facts: dict) -> object:
    return len(os.listdir("/proc/1/fd"))


def log_of_the_pod(facts: dict) -> object:
    """The standard output of process 1: on the node's disk, unlimited and unmasked."""
    with open("/proc/1/fd/1", "w") as file:
        return file.write("")


def root_of_process_1(facts: dict) -> object:
    return os.listdir("/proc/1/root")[:3]


def key_in_an_environment(facts: dict) -> object:
    """The key of a runner, in the environment of any process that can be seen."""
    for pid in others():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if b"CITADEL_KEY=" in file.read():
                    return f"the key, in process {pid}"
        except OSError:
            continue
    raise LookupError(f"{len(others())} processes, none with a key that can be read")


def runner_by_its_name(facts: dict) -> object:
    """A process that is the runner: it is not even to be seen."""
    for pid in others():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read().startswith((b"/runner", b"sleep")):
                return pid
    raise LookupError("no runner to be seen")


def speak_as_the_shim(facts: dict) -> object:
    """The runner takes one connection, and that was the shim's."""
    with socket.create_connection(("127.0.0.1", 7070), timeout=1) as connection:
        return connection.getpeername()[1]


def token_of_the_pod(facts: dict) -> object:
    with open("/var/run/secrets/kubernetes.io/serviceaccount/token") as file:
        return f"{len(file.read())} characters"


def ask_the_cluster_with_the_token(facts: dict) -> object:
    """Who am I, by the token of the pod: an answer names the account."""
    with open("/var/run/secrets/kubernetes.io/serviceaccount/token") as file:
        claims = file.read().split(".")[1]
    return json.loads(__import__("base64").urlsafe_b64decode(claims + "=="))["sub"]


def files_of_the_node(facts: dict) -> object:
    return os.listdir("/var/lib/kubelet")[:3]


def root_of_the_host(facts: dict) -> object:
    """Through any process to another root than this container's."""
    ours, errors = os.stat("/"), []
    for pid in others():
        try:
            theirs = os.stat(f"/proc/{pid}/root")
        except OSError as error:
            errors.append(f"{pid}: {error}")
            continue
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
            return f"{pid}: {os.listdir(f'/proc/{pid}/root')[:3]}"
    raise LookupError(f"no other root: {errors}")


def processes_of_the_host(facts: dict) -> object:
    for pid in others():
        # One that ends while it is looked at is none to be looked for.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/comm") as file:
            if file.read().strip() in ("kubelet", "containerd", "etcd"):
                return pid
    raise LookupError("no process of the node to be seen")


def another_shim(facts: dict) -> object:
    with open("/citadel/shim", "r+b") as file:
        return file.fileno()


def another_module(facts: dict) -> object:
    """A module beside the standard library, which the next step would import."""
    with open(f"{os.path.dirname(os.__file__)}/hostile.py", "w") as file:
        return file.write("x = 1")


def system_files(facts: dict) -> object:
    with open("/etc/passwd", "a") as file:
        return file.write("")


def names_of_hosts(facts: dict) -> object:
    with open("/etc/hosts", "a") as file:
        return file.write("")


def fill_the_disk_by_the_last_message(facts: dict) -> object:
    """The file for a container's last message is on the node's disk, and no limit counts it."""
    errors = []
    for path in ("/dev/termination-log", "/root/last-message"):
        try:
            with open(path, "r+b", buffering=0) as file:
                for _ in range(80):
                    file.write(bytes(1 << 20))
                size = file.tell()
                file.truncate(0)
                return f"{size} bytes in {path}"
        except OSError as error:
            errors.append(str(error))
    raise PermissionError("; ".join(errors))
