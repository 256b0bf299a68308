"""Starts the harness of a local sandbox: `python launch.py CHANNEL HARNESS [DOOR]`.

Runs as a script of its own, before anything of Citadel: it moves the channel to descriptor 3, sees to it that
the harness ends with its parent and that every orphan of a step stays below the harness, and becomes it. With
DOOR, a socket, it hands over one that listens on the loopback of this sandbox, where nobody else can dial.
It must never import what CPython has not loaded anyway: each sandbox waits for it.
"""

import os
import sys

CHANNEL = 3
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SIGKILL = 9
ADDRESS = ("127.0.0.1", 8790)


def main() -> None:
    """Becomes the harness."""
    given, harness = int(sys.argv[1]), sys.argv[2]
    if given != CHANNEL:
        os.dup2(given, CHANNEL, inheritable=False)
        os.close(given)
    if sys.platform == "linux":
        import _ctypes  # ctypes itself takes ten times as long to import

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        _ctypes.call_function(prctl, (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        _ctypes.call_function(prctl, (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
    if len(sys.argv) > 3:
        hand_over(int(sys.argv[3]))
    with open(harness, encoding="utf-8") as file:
        code = compile(file.read(), harness, "exec", dont_inherit=True)
    sys.argv[:] = [harness]
    exec(code, {"__name__": "__main__", "__file__": harness})  # noqa: S102


def hand_over(door: int) -> None:
    """Sends a socket that listens here to whoever is outside."""
    import _socket

    with_, listening = _socket.socket(fileno=door), _socket.socket()
    listening.bind(ADDRESS)
    listening.listen(128)
    descriptor = listening.fileno().to_bytes(4, sys.byteorder)
    with_.sendmsg([b"L"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])
    listening.close()
    with_.close()


if __name__ == "__main__":
    main()
