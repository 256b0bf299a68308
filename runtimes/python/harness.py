"""The warm interpreter of the runtime `python`: it forks for each attempt, which `citadel_harness` runs.

It is started with a Unix stream socket as file descriptor 3, by the shim or by `citadel run --local`:

- `R` with four descriptors starts an attempt: request (JSON, read to its end), stdout, stderr, result. A fork
  that already waits runs it, and writes `S` and the output's JSON, or `F` and a failure's JSON, to result.
- `exited <code>` and a newline tells that the fork has ended; minus the signal's number if one killed it.
- `N` asks for the next fork, when nothing of the last attempt is left. Then comes the next `R`.
- `ready` and a newline tells, once, that a fork waits and nothing is left to import: no attempt need wait.

It must never run user code, nor read a request, in its own process: what one attempt does or knows is gone
with its fork. It is not dumpable, so that user code, which has the same uid, can end it but not change it.
Start-up time counts: nothing is imported at the top that CPython has not loaded anyway.
"""

import _socket
import gc
import os
import select
import sys

CHANNEL = 3
FOLDER = os.path.dirname(os.path.abspath(__file__))
#: Modules that the image wants imported; what they have as `citadel_rehearse` is done as `rehearse` is.
PRELOAD = [name for name in os.environ.get("CITADEL_PRELOAD", "").split(",") if name]
IDLE_SECONDS = 0.05  # without a request for so long, there is time to import
CLOSED, RETIRED = 0, 75  # how a fork ends that got no request

# Imported while there is time, so that forks have them already.
# fmt: off
WARM = [
    "linecache", "traceback", "re", "math", "datetime", "time", "collections", "itertools", "functools",
    "random", "string", "io", "csv", "base64", "hashlib", "decimal", "statistics", "dataclasses", "typing",
    "pathlib", "subprocess", "logging", "copy", "operator", "inspect", "urllib.parse", "uuid", "ssl",
    "concurrent.futures", "asyncio",
]
# fmt: on


def serve():
    """Run attempts until the other end closes."""
    gc.disable()  # nothing here makes garbage, and a collection would unshare pages with the forks
    set_dumpable(0)
    channel = _socket.socket(fileno=CHANNEL)
    if sys.flags.no_site:
        import site

        site.main()
    import_all(["json", "types", "signal", "atexit"])  # every fork needs these
    load_ours()
    import_all(PRELOAD)
    rehearse()
    missing = [name for name in WARM if name not in sys.modules]
    ready = [b"ready\n"]
    while True:
        status, used = run_fork(channel, missing, ready)
        if status is None:
            return
        try:
            channel.sendall(b"exited %d\n" % os.waitstatus_to_exitcode(status))
        except OSError:
            return
        import_all(name for name in used if name in missing)  # the next step may be like this one
        missing = [name for name in missing if name not in sys.modules]
        if channel.recv(1) != b"N":
            return
        collect()


def collect():
    """Let the next step not even see that processes of the last one have ended, where they come to us."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def load_ours():
    """Import what runs an attempt. Its folder is no place from which steps import."""
    sys.path.insert(0, FOLDER)
    try:
        __import__("citadel_harness.attempts")
    finally:
        sys.path.remove(FOLDER)


def rehearse(forked=False):
    """Do once what every fork does: what CPython sets up at first use takes each fork a millisecond."""
    import json

    from citadel_harness.outputs import encode_output

    exec(compile("def main(n): return [n]\nmain(1)", "rehearsal", "exec"), {})  # noqa: S102
    encode_output(json.loads('{"a": [1, "b"]}'), 1 << 20)
    for name in PRELOAD:
        try:
            getattr(sys.modules.get(name), "citadel_rehearse", int)()
        except Exception as error:  # an attempt will say what is wrong, if it needs that
            if not forked:  # where nobody reads yet, and what is written would come into the attempt's log
                print(f"harness: {name}: {type(error).__name__}: {error}", file=sys.__stderr__)


def import_all(names):
    """Import what this interpreter has of names."""
    for name in names:
        try:
            __import__(name)
        except ImportError:
            sys.modules.setdefault(name, None)


def run_fork(channel, missing, ready):
    """Fork ahead of the request, and wait for its end: its wait status, and what it imported of missing.

    A fork takes a millisecond: so it is made while the last result is on its way. What is missing is imported
    while it has no request; then a new one takes its place. The status is None when the channel has closed.
    """
    while True:
        gc.freeze()
        (news, tell), (retire, stay) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(news)
            os.close(stay)
            become_step(channel, tell, retire, missing)
        os.close(tell)
        os.close(retire)
        while ready and not missing:
            try:
                channel.sendall(ready.pop())
            except OSError:  # nobody listens any more: the fork ends by itself
                break
        while missing and not select.select([news], [], [], IDLE_SECONDS)[0]:
            import_all([missing.pop(0)])
            if not missing:
                os.close(stay)  # the fork ends, unless its request has come
                stay = None
        status = os.waitpid(child, 0)[1]
        os.set_blocking(news, False)  # children that the step left behind may hold the other end
        said = os.read(news, 4096) if select.select([news], [], [], 0)[0] else b""
        for descriptor in (news, stay):
            if descriptor is not None:
                os.close(descriptor)
        if said.startswith(b"R"):
            return status, said[1:].decode(errors="replace").split()
        if os.waitstatus_to_exitcode(status) == CLOSED:
            return None, []


def set_dumpable(value):
    """Let other processes of this uid look into this one (1), or not (0)."""
    if sys.platform == "linux":
        import _ctypes  # ctypes itself takes ten times as long to import

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")
        if _ctypes.call_function(prctl, (4, value, 0, 0, 0)) != 0:  # PR_SET_DUMPABLE
            raise OSError("PR_SET_DUMPABLE failed")


def become_step(channel, tell, retire, missing):
    """In the fork: wait for a request, run it, write its result, end. Never returns."""
    code = 70
    try:
        import atexit
        import json

        from citadel_harness.attempts import attempt

        prepare_streams()
        os.setsid()
        # Once more: what a fork touches for the first time is copied, under gVisor in pieces of 2 MiB. An attempt
        # that waits already touches it sooner by itself.
        if not select.select([channel], [], [], 0)[0]:
            rehearse(forked=True)
        gc.freeze()  # of the rehearsal nothing is looked at again
        set_dumpable(1)  # nobody is there who could use it before the request comes
        if channel not in select.select([channel, retire], [], [])[0]:
            os._exit(RETIRED)
        data, ancillary, _, _ = channel.recvmsg(1, _socket.CMSG_SPACE(4 * 4))
        if data != b"R":
            os._exit(CLOSED)
        os.write(tell, data)
        packed = ancillary[0][2]
        request, stdout, stderr, result = (
            int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, 16, 4)
        )
        channel.close()
        for source, target in ((stdout, 1), (stderr, 2)):
            os.dup2(source, target)
            os.close(source)
        os.set_inheritable(result, False)
        gc.enable()
        with open(request, "rb") as file:
            asked = json.load(file)
        body = attempt(asked)
        if asked.get("agent"):
            end_streams()  # all is said: nobody need wait until the memory of this process is given back
        try:
            while body:
                body = body[os.write(result, body) :]
        finally:
            os.close(result)
        code = 0
        atexit._run_exitfuncs()
        os.write(tell, " ".join(name for name in missing if name in sys.modules).encode())
    except BaseException as error:  # the result has been written, or cannot be
        print(f"harness: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        finally:  # user code may have closed or replaced them
            os._exit(code)


def prepare_streams():
    """Standard streams as the step gets them: lines leave at once, and nothing can be read."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # Made on a pipe, as the real ones are: a stream made on a file would ask it for its position.
    reading, writing = os.pipe()
    streams = []
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
        stream = open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        streams.append(stream)
    os.close(reading)
    os.close(writing)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = streams
    sys.set_int_max_str_digits(0)  # integers stay exact


def end_streams():
    """Let whoever reads what is printed find its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(null, stream.fileno())
    os.close(null)


if __name__ == "__main__":
    serve()
