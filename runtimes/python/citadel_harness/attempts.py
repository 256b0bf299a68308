"""One attempt: the user's code is loaded, and `main(**input)` called."""

import os
import sys

from citadel_harness.failures import MODULE, Failure, describe, text_of, user_traceback
from citadel_harness.outputs import encode_output

OUTPUT_BYTES = 1 << 20


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
