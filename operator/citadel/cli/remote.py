"""What every command that needs a cluster has in common: options, connection, errors in one line, exit codes.

Must never print a traceback for what the cluster answers, nor a credential. Imports stay light: the client is
loaded when a command runs.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from citadel.cli.terminal import safe

if TYPE_CHECKING:
    from citadel.kube.client import KubeClient
    from citadel.kube.config import KubeConfig
    from citadel.kube.errors import ApiError
    from citadel.kube.resources import Object


class ExitCode(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1
    INVALID = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class Refused(Exception):
    """A command cannot go on: the message is for people, `code` the exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.INVALID) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Target:
    """Which cluster, and where in it. None and "" mean what the kubeconfig says."""

    namespace: str | None = None
    kubeconfig: str = ""
    context: str = ""
    system_namespace: str = "citadel-system"
    release: str = "citadel"
    """What the names of the installation's objects begin with."""

    def config(self) -> "KubeConfig":
        """The access to the cluster, read anew with a TLS context of its own; raises ConfigError."""
        from citadel.kube.config import load_config

        path = Path(self.kubeconfig).expanduser() if self.kubeconfig else None
        return load_config(path, self.context or None)

    @property
    def kubectl_options(self) -> list[str]:
        """The same choice, for kubectl."""
        chosen = {"--kubeconfig": self.kubeconfig, "--context": self.context}
        return [f"{option}={value}" for option, value in chosen.items() if value]


@dataclass(frozen=True)
class Cluster:
    """An open connection, and the namespace that is meant."""

    kube: "KubeClient"
    target: Target
    namespace: str

    async def execution(self, name: str) -> "Object":
        """One Execution; raises Refused where there is none."""
        from citadel.kube.errors import NotFound
        from citadel.kube.resources import EXECUTIONS

        try:
            return await self.kube.get(EXECUTIONS, object_name("Execution", name), self.namespace)
        except NotFound as error:
            if error.details.get("name") != name:
                raise  # the kind is what is missing
            message = f"Execution {name} does not exist in namespace {self.namespace}"
            raise Refused(f"{message}; `citadel get -n {self.namespace}` lists those that do") from None


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Cluster]:
    """A connection as the kubeconfig says."""
    from citadel.kube.client import KubeClient
    from citadel.kube.transport import Limits

    config = target.config()
    # Somebody waits at a terminal: two tries of ten seconds, not the minutes of a control plane.
    limits = Limits(timeout=20.0, connect=5.0, tries=2)
    async with KubeClient(config, limits=limits, user_agent="citadel-cli") as kube:
        yield Cluster(kube, target, target.namespace or config.namespace)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose a cluster; the command gets them as one `target`."""

    @wraps(command)
    def wrapped(
        namespace: str | None,
        kubeconfig: str,
        context: str,
        system_namespace: str,
        release: str,
        **rest: Any,
    ) -> Any:
        return command(target=Target(namespace, kubeconfig, context, system_namespace, release), **rest)

    options = (
        click.option("-n", "--namespace", help="Namespace; else that of the kubeconfig's context."),
        click.option("--kubeconfig", default="", metavar="FILE", help="Else $KUBECONFIG or ~/.kube/config."),
        click.option("--context", default="", help="Context of the kubeconfig; else its current one."),
        click.option(
            "--system-namespace",
            envvar="CITADEL_NAMESPACE",
            default="citadel-system",
            metavar="NAME",
            help="Where Citadel is installed; else $CITADEL_NAMESPACE, else citadel-system.",
        ),
        click.option(
            "--release",
            envvar="CITADEL_NAME",
            default="citadel",
            metavar="NAME",
            help="What the names of its objects begin with; else $CITADEL_NAME, else citadel.",
        ),
    )
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def finish(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Runs a command's work and ends the process with its exit code; errors become one line on stderr."""
    try:
        code = asyncio.run(_until_signalled(work))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        for line in str(told).splitlines():
            click.echo(f"citadel: {safe(line)}", err=True)
        code = told.code
    raise SystemExit(int(code))


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """A terminated command still ends what it started (a forwarded port is a process)."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED


def explained(error: Exception) -> Refused | None:
    """What an error of the cluster means to a person; None for a defect of this program."""
    from citadel.kube.errors import ApiError, ConfigError

    match error:
        case Refused():
            return error
        case ConfigError():
            return Refused(str(error), ExitCode.UNREACHABLE)
        case ApiError():
            return _of_api_error(error)
    return None


def _of_api_error(error: "ApiError") -> Refused:
    from citadel.kube.errors import Forbidden, Gone, NotFound, Unauthorized, Unavailable

    match error:
        case Unavailable(status=0):
            message = f"the cluster cannot be reached: {error.message} ({error.request})"
            return Refused(message, ExitCode.UNREACHABLE)
        case Unavailable() | Gone():
            message = f"the API server has no answer now: {error.message} ({error.request})"
            return Refused(message, ExitCode.UNREACHABLE)
        case Unauthorized():
            message = f"the cluster does not accept the kubeconfig's credentials: {error.message}"
            return Refused(message, ExitCode.UNREACHABLE)
        case Forbidden():
            return Refused(f"the cluster refused: {error.message}", ExitCode.UNREACHABLE)
        case NotFound() if not error.details.get("name"):
            message = "the cluster does not know Citadel's resources: is it installed? (`citadel doctor`)"
            return Refused(message, ExitCode.UNREACHABLE)
    return Refused(error.message)


def object_name(kind: str, name: str) -> str:
    """The name, if an object can have it; raises Refused."""
    import re

    from citadel.api.messages import NAME_WORDS
    from citadel.api.meta import DNS_SUBDOMAIN_PATTERN

    if len(name) > 253 or not re.fullmatch(DNS_SUBDOMAIN_PATTERN, name):
        raise Refused(f"{kind}: found {name!r:.80}, expected {NAME_WORDS}")
    return name
