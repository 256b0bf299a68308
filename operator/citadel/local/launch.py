"""Starts the harness of a local sandbox: `python launch.py CHANNEL HARNESS`.

Runs as a script of its own, before anything of Citadel: it moves the channel to descriptor 3, sees to it that
the harness ends with its parent and that every orphan of a step stays below the harness, and becomes it.
It must never import what CPython has not loaded anyway: each sandbox waits for it.
"""

import os
import sys

CHANNEL = 3
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SIGKILL = 9


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
    with open(harness, encoding="utf-8") as file:
        code = compile(file.read(), harness, "exec", dont_inherit=True)
    sys.argv[:] = [harness]
    exec(code, {"__name__": "__main__", "__file__": harness})  # noqa: S102


if __name__ == "__main__":
    main()
