"""The warm interpreter of the runtime `python`: it forks for each attempt, and the fork runs `main(**input)`.

It is started with a Unix stream socket as file descriptor 3, by the shim or by `citadel run --local`:

- `R` with four descriptors starts an attempt: request (JSON, read to its end), stdout, stderr, result. A fork
  that already waits runs it, and writes `S` and the output's JSON, or `F` and a failure's JSON, to result.
- `exited <code>` and a newline tells that the fork has ended; minus the signal's number if one killed it.
- `N` asks for the next fork, when nothing of the last attempt is left. Then comes the next `R`.

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
MODULE = "step"  # the name of the module that holds the user's code
OUTPUT_BYTES = 1 << 20
MAX_DEPTH = 64

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


class Failure(Exception):
    """Why an attempt failed, as the protocol wants it."""

    def __init__(self, reason, message, traceback=(), exit_code=None):
        super().__init__(message)
        self.wire = {"reason": reason, "message": message, "traceback": list(traceback)}
        if exit_code is not None:
            self.wire["exitCode"] = exit_code


def serve():
    """Run attempts until the other end closes."""
    gc.disable()  # nothing here makes garbage, and a collection would unshare pages with the forks
    set_dumpable(0)
    channel = _socket.socket(fileno=CHANNEL)
    if sys.flags.no_site:
        import site

        site.main()
    import_all(["json", "types", "signal", "atexit"])  # every fork needs these
    rehearse()
    missing = [name for name in WARM if name not in sys.modules]
    while True:
        status, used = run_fork(channel, missing)
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


def rehearse():
    """Do once what every fork does: what CPython sets up at first use takes each fork a millisecond."""
    import json

    exec(compile("def main(n): return [n]\nmain(1)", "rehearsal", "exec"), {})  # noqa: S102
    encode_output(json.loads('{"a": [1, "b"]}'), OUTPUT_BYTES)


def import_all(names):
    """Import what this interpreter has of names."""
    for name in names:
        try:
            __import__(name)
        except ImportError:
            sys.modules.setdefault(name, None)


def run_fork(channel, missing):
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

        prepare_streams()
        os.setsid()
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
            body = attempt(json.load(file))
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


def attempt(request):
    """Run one attempt; the bytes that tell its end."""
    import json

    try:
        return b"S" + encode_output(run(request), request.get("outputBytes") or OUTPUT_BYTES)
    except Failure as failure:
        return b"F" + json.dumps(failure.wire).encode()


def run(request):
    """Run the user's code and return what main returned."""
    import types

    step = request["step"]
    for variable in request.get("env") or ():
        os.environ[variable["name"]] = variable["value"]
    add_packages(os.environ.get("CITADEL_PACKAGES"))
    os.environ["CITADEL_STEP"] = sys.argv[0] = step
    os.environ["CITADEL_ATTEMPT"] = str(request["attempt"])
    if request.get("entrypoint"):
        return run_entrypoint(request)
    filename = f"{step}.py"
    code = compile_step(request["code"], filename, step)
    module = sys.modules[MODULE] = types.ModuleType(MODULE)
    module.__file__ = filename
    # What tracebacks ask for the lines of the step, when there are any to show.
    module.__loader__ = types.SimpleNamespace(get_source=lambda name: request["code"])

    def find():
        exec(code, module.__dict__)  # noqa: S102
        main = module.__dict__.get("main")
        if not callable(main):
            raise Failure("InvalidCode", f"step {step} defines no function main")
        return main

    return guarded(request, find, lambda name: name == filename)


def run_entrypoint(request):
    """Run the function that entrypoint names, of a module that the image brings along."""
    import importlib

    step, entrypoint = request["step"], request["entrypoint"]
    name, _, function = entrypoint.rpartition(":")
    package = name.partition(".")[0]

    def find():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            if error.name and name != error.name and not name.startswith(f"{error.name}."):
                raise  # of something that the module imports
            raise Failure("InvalidCode", f"step {step}, entrypoint {entrypoint}: {error}") from None
        main = getattr(module, function, None)
        if not callable(main):
            said = f"step {step}, entrypoint {entrypoint}: the module has no function {function}"
            raise Failure("InvalidCode", said)
        return main

    def is_own(path):
        found = getattr(sys.modules.get(package), "__path__", None)
        places = list(found) if found else [getattr(sys.modules.get(package), "__file__", None) or package]
        return any(path == place or path.startswith(f"{place}/") for place in places)

    return guarded(request, find, is_own)


def guarded(request, find, is_own):
    """What the function that find() finds returns; is_own tells by name which files are the user's own."""
    import signal

    step = request["step"]
    # A cancellation comes as SIGTERM: as SystemExit it runs the user's finally blocks.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return call(find(), request.get("input") or {}, step)
    except Failure:
        raise
    except SystemExit as stop:
        if stop.code is None or stop.code == 0:
            return None
        if isinstance(stop.code, int):
            raise Failure("Error", f"exit code {stop.code}", exit_code=stop.code & 0xFF) from None
        raise Failure("Error", text_of(stop.code), exit_code=1) from None
    except BaseException as error:
        raise Failure("Error", describe(error), user_traceback(error, is_own)) from None


def add_packages(place):
    """Make the Runtime's packages importable: before those of the image, after the standard library."""
    folder = os.path.join(place, "python") if place else ""
    if os.path.isdir(folder):
        others = [i for i, path in enumerate(sys.path) if path.endswith("-packages")]
        sys.path.insert(min(others, default=len(sys.path)), folder)


def compile_step(source, filename, step):
    """The code object of the step."""
    try:
        return compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").rstrip("\n")
        where = f"line {error.lineno}, column {error.offset}"
        shown = [f'  File "{filename}", line {error.lineno}']
        if line:
            shown += [f"    {line}", " " * (3 + (error.offset or 1)) + "^"]
        quoted = f": {line.strip()}" if line.strip() else ""
        raise Failure("InvalidCode", f"step {step}, {where}: {error.msg}{quoted}", shown) from None
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise Failure("InvalidCode", f"step {step} cannot be compiled: {describe(error)}") from None


def call(main, given, step):
    """What main returns for these arguments; a coroutine is run to its end."""
    import types

    try:
        value = main(**given)
    except TypeError as error:
        if error.__traceback__.tb_next is not None:
            raise  # from within main
        import inspect

        try:
            takes = str(inspect.signature(main))
        except (TypeError, ValueError):
            raise error from None
        names, name = ", ".join(given), getattr(main, "__name__", "main")
        raise Failure("InvalidCode", f"{name}() of step {step} takes {takes}, got ({names})") from None
    if isinstance(value, types.CoroutineType):
        import asyncio

        return asyncio.run(value)
    return value


def describe(error):
    """Type and message, as the last line of a traceback says it."""
    text = text_of(error)
    return f"{type_name(error)}: {text}" if text else type_name(error)


def type_name(value):
    kind = type(value)
    own = kind.__module__ in ("builtins", MODULE)
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def text_of(value):
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:
        return f"<str() failed with {type(error).__name__}>"


def user_traceback(error, is_own):
    """The frames of the user's own code, with causes, as Python shows them, without what the message says."""
    import traceback

    inside = os.getcwd().rstrip("/") + "/"

    def is_shown(name):
        return is_own(name) or (name.startswith(inside) and name != __file__)

    def own(found):
        found.stack = traceback.StackSummary.from_list([f for f in found.stack if is_shown(f.filename)])
        for other in [found.__cause__, found.__context__, *(getattr(found, "exceptions", None) or ())]:
            if other is not None:
                own(other)

    formatted = traceback.TracebackException.from_exception(error, compact=True)
    own(formatted)
    lines = "".join(formatted.format()).splitlines()
    if not hasattr(formatted, "exceptions") or not formatted.exceptions:
        said = list(formatted.format_exception_only())
        count = len("".join(said).splitlines())
        lines = lines[:-count] if count else lines
    return [text_of(line) for line in lines if line != "Traceback (most recent call last):"]


def encode_output(value, limit):
    """The output as JSON, or a Failure that names the place of what JSON cannot hold."""
    import json

    check_shape(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        refuse_offender(value, "output")
        raise Failure("InvalidOutput", f"the output is not JSON: {error}") from None
    if "\\u0000" in text:
        refuse_offender(value, "output")
    if len(data) > limit:
        said = f"the output is {len(data)} bytes of JSON, at most {limit} are allowed"
        raise Failure("InvalidOutput", said)
    return data


def check_shape(value):
    """Keys and depth, level by level: json.dumps would silently turn keys into strings."""
    level, depth = [value], 0
    while level:
        inner = []
        for container in level:
            if isinstance(container, dict):
                for key in container:
                    if not isinstance(key, str):
                        refuse_offender(value, "output")
                items = container.values()
            elif isinstance(container, (list, tuple)):
                items = container
            else:
                continue
            inner += [item for item in items if isinstance(item, (dict, list, tuple))]
        depth += 1
        if inner and depth > MAX_DEPTH - 1:
            said = f"the output is nested deeper than {MAX_DEPTH} levels, or contains itself"
            raise Failure("InvalidOutput", said)
        level = inner


def refuse_offender(value, path):
    """Raise the Failure for the first thing in value that may not leave."""
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        if "\0" in value:
            raise Failure("InvalidOutput", f"{path} holds the character NUL")
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
            raise Failure("InvalidOutput", f"{path} holds a lone surrogate, which is no character")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Failure("InvalidOutput", f"{path} is {value}, which JSON cannot hold")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                name = f"{path} has the key {text_of(repr(key))[:100]} ({type(key).__name__})"
                raise Failure("InvalidOutput", f"{name}, expected a string")
            refuse_offender(key, f"a key of {path}")
            place = f"{path}.{key}" if key.isidentifier() else f"{path}[{text_of(repr(key))[:100]}]"
            refuse_offender(item, place)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            refuse_offender(item, f"{path}[{index}]")
    else:
        raise Failure("InvalidOutput", f"{path} is a {type_name(value)}, which JSON cannot hold")


if __name__ == "__main__":
    serve()
