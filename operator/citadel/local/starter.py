"""A harness for languages that cannot fork: it starts a process for each attempt.

It is run by `launch.py`, so its socket is descriptor 3, and it speaks as every harness does
(docs/protocol.md), but that with `R` comes the command, its words separated by NUL, and a fifth descriptor
where something is built. The process gets them as 1 stdout, 2 stderr, 3 request, 4 result and 5 program. It
must never read a request, nor import what CPython has not loaded anyway: each sandbox waits for it.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

CHANNEL = 3
MOST = 1 << 16
PR_SET_PDEATHSIG = 1
#: Out of the way of those that the process is to have.
ABOVE = 10


def serve() -> None:
    """Starts processes until the other end closes."""
    channel = _socket.socket(fileno=CHANNEL)
    while True:
        data, ancillary, _, _ = channel.recvmsg(MOST, _socket.CMSG_SPACE(5 * 4))
        if not data.startswith(b"R"):
            return
        packed = ancillary[0][2]
        given = [int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, len(packed), 4)]
        child = os.fork()
        if child == 0:
            become(data[1:].decode("utf-8", "surrogateescape").split("\0"), given)
        for descriptor in given:
            os.close(descriptor)
        pid, status = os.wait()
        while pid != child:  # what a step left behind comes to us
            pid, status = os.wait()
        try:
            channel.sendall(b"exited %d\n" % os.waitstatus_to_exitcode(status))
        except OSError:
            return
        if channel.recv(1) != b"N":
            return
        collect()


def collect() -> None:
    """Lets nothing of an attempt be seen by the next one, not even that it has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def become(command: list[str], given: list[int]) -> None:
    """In the fork: becomes the process of an attempt. Never returns."""
    try:
        import fcntl

        os.setsid()
        if sys.platform == "linux":
            import _ctypes

            prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
            _ctypes.call_function(prctl, (PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0))
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)  # Python ignores them, and so would what it becomes
        request, stdout, stderr, result, *program = [fcntl.fcntl(one, fcntl.F_DUPFD, ABOVE) for one in given]
        for one in given:
            os.close(one)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in enumerate((null, stdout, stderr, request, result, *program)):
            os.dup2(source, target)
            if source >= ABOVE:
                os.close(source)
        os.execvp(command[0], command)  # noqa: S606
    except BaseException as error:
        os.write(2, f"citadel: {command[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(127)


if __name__ == "__main__":
    serve()
