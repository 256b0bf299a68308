"""`citadel run` without `--local`: an Execution in the cluster, of a Workflow there or of one in a file.

Creates objects and waits for them; what runs is the controller's affair.
"""

import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from citadel.cli.following import exit_code, goes_on, wait_for_end
from citadel.cli.get import read_outputs
from citadel.cli.givens import given_inputs
from citadel.cli.logs import LogPrinter, log_chunks
from citadel.cli.remote import Cluster, ExitCode, Refused, Target, connect, finish, object_name
from citadel.cli.showing import show_on
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api
    from citadel.core.jsonvalues import Json
    from citadel.kube.resources import Object

#: As in names that the API server generates: no vowels, so no words; nothing that is read as something else.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_LONGEST_NAME = 253


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    workflow: str
    """Name of a Workflow in the cluster, or a path."""
    pairs: Sequence[str] = ()
    files: Sequence[str] = ()
    name: str | None = None
    revision: str | None = None
    no_cache: bool = False
    wait: bool = False
    logs: bool = False


def run_in_cluster(
    target: Target,
    workflow: str,
    pairs: Sequence[str],
    files: Sequence[str],
    *,
    name: str | None = None,
    revision: str | None = None,
    no_cache: bool = False,
    wait: bool = False,
    logs: bool = False,
) -> NoReturn:
    """Creates the Execution, and with `wait` or `logs` follows it: the exit code is then the execution's."""
    finish(_run(target, Wanted(workflow, pairs, files, name, revision, no_cache, wait, logs)))


async def _run(target: Target, wanted: Wanted) -> int:
    if wanted.revision is not None and is_path(wanted.workflow):
        raise Refused("--revision is of a workflow in the cluster: name that, not a file")
    read = read_file(wanted.workflow) if is_path(wanted.workflow) else None
    if wanted.name is not None:
        object_name("Execution", wanted.name)
    async with connect(target) as cluster:
        if wanted.revision is not None:
            workflow = await as_it_was(cluster, wanted.workflow, wanted.revision)
        else:
            workflow = await _workflow(cluster, wanted.workflow, read.workflow if read is not None else None)
        inputs = checked_inputs(workflow, wanted, read.inputs if read is not None else {})
        ref = {"name": workflow["metadata"]["name"]}
        if wanted.revision is not None:
            ref["revision"] = wanted.revision
        execution = await create_execution(cluster, ref, inputs, wanted.name, no_cache=wanted.no_cache)
        return await follow_created(cluster, execution["metadata"]["name"], wanted.wait, wanted.logs)


async def follow_created(cluster: Cluster, name: str, wait: bool, logs: bool) -> int:
    """Tells of an Execution that was created, and with `wait` or `logs` follows it: its exit code then."""
    waits = wait or logs
    click.echo(f"execution.citadel.dev/{name} created", err=waits)
    if not waits:
        return ExitCode.OK
    try:
        return await _follow(cluster, name, logs)
    except asyncio.CancelledError:
        click.echo(goes_on(cluster.namespace, name), err=True)
        raise


async def as_it_was(cluster: Cluster, name: str, revision: str) -> "Object":
    """A Workflow by one of its revisions, as far as a run needs it; raises Refused."""
    from citadel.cli.revisions import read_revision

    found = await read_revision(cluster, name, revision)
    return {"metadata": {"name": name}, "spec": found["document"]["spec"]}


def is_path(text: str) -> bool:
    """Whether a file is meant: a path, a YAML file's name, or - for the standard input."""
    return text == "-" or "/" in text or text.endswith((".yaml", ".yml", ".json"))


def _is_file(text: str) -> bool:
    return Path(text).is_file()


@dataclass(frozen=True)
class Read:
    """A file's Workflow, and the inputs that its Execution gives."""

    workflow: "Object"
    inputs: "Mapping[str, Json]"


def read_file(path: str) -> Read:
    """What of a file is run, checked as far as that goes without a cluster; raises Refused.

    The same choice as the local runner's. Raises click.UsageError for a file that cannot be read.
    """
    from citadel.cli.lint import text_of
    from citadel.local.documents import read
    from citadel.local.start import CannotRun, choose

    contents = read(text_of(path))
    if contents.problems:
        raise Refused("\n".join(f"{path}:{problem.located}" for problem in contents.problems))
    try:
        workflow, inputs, _ = choose(contents)
    except CannotRun as error:
        raise Refused(f"{path}: {error}") from None
    others = [f"Workflow {name}" for name in contents.workflows if name != workflow.name]
    others += [f"Runtime {name}" for name in contents.runtimes]
    others += [f"Model {name}" for name in contents.models]
    others += [f"Trigger {name}" for name in contents.triggers]
    others += [f"{kind} {name}" for kind, name in contents.data]
    if others:
        told = f"only Workflow {workflow.name} is applied; for {', '.join(others)} use kubectl apply"
        click.echo(f"citadel: {path}: {one_line(told)}", err=True)
    return Read(dict(workflow.document.value), inputs)


async def _workflow(cluster: Cluster, given: str, document: "Object | None") -> "Object":
    """The Workflow as it is in the cluster, applied first where it comes from a file."""
    from citadel.kube.client import Patch
    from citadel.kube.errors import NotFound
    from citadel.kube.resources import WORKFLOWS

    if document is None:
        try:
            return await cluster.kube.get(WORKFLOWS, object_name("Workflow", given), cluster.namespace)
        except NotFound as error:
            if error.details.get("name") != given:
                raise
            message = f"Workflow {given} does not exist in namespace {cluster.namespace}"
            if _is_file(given):
                message += f"; to run the file of that name, write ./{given}"
            raise Refused(message) from None
    metadata = document["metadata"]
    name, namespace = metadata.get("name"), metadata.get("namespace", cluster.namespace)
    if not name:
        raise Refused(
            f"{given}: metadata.generateName: found no name, expected one: a Workflow is run by its name"
        )
    if namespace != cluster.namespace:
        message = f"{given}: metadata.namespace is {namespace}, but the execution is for {cluster.namespace}"
        raise Refused(f"{message}; name one with -n")
    applied = {key: value for key, value in document.items() if key != "status"}
    # `force` would silently take fields over from whoever manages them, Git say: that is theirs to know.
    return await cluster.kube.patch(
        WORKFLOWS,
        name,
        {**applied, "metadata": {**metadata, "namespace": namespace}},
        namespace,
        kind=Patch.APPLY,
        field_manager="citadel-cli",
        force=False,
    )


def checked_inputs(
    workflow: Mapping[str, Any], wanted: Wanted, base: "Mapping[str, Json]"
) -> "dict[str, Json]":
    """The inputs given over those of the file, known to fit the schema; raises Refused, BadParameter."""
    from citadel.core.inputs import InvalidInputs, InvalidSchema, compile_inputs

    schema = (workflow.get("spec") or {}).get("inputs")
    inputs = {**base, **given_inputs(wanted.pairs, wanted.files, schema)}
    try:
        compile_inputs(schema).apply(inputs)
    except InvalidInputs as error:
        raise Refused("\n".join(error.messages)) from None
    except InvalidSchema as error:
        raise Refused(f"Workflow {workflow['metadata']['name']}: spec.inputs.{error}") from None
    return inputs


def new_name(workflow: str) -> str:
    """`<workflow>-<5 characters>`, short enough for an object."""
    suffix = "".join(random.choices(_ALPHABET, k=_SUFFIX))  # noqa: S311 - keeps names apart, no secret
    return f"{workflow[: _LONGEST_NAME - _SUFFIX - 1].rstrip('.-')}-{suffix}"


async def create_execution(
    cluster: Cluster,
    ref: Mapping[str, str],
    inputs: "Mapping[str, Json]",
    name: str | None,
    rerun_of: Mapping[str, Any] | None = None,
    no_cache: bool = False,
) -> "Object":
    """A new Execution, under a name of its own if none is given; raises Refused."""
    from citadel.kube.errors import AlreadyExists
    from citadel.kube.resources import EXECUTIONS

    spec: dict[str, Any] = {"workflowRef": dict(ref)}
    if inputs:
        spec["inputs"] = dict(inputs)
    if no_cache:
        spec["noCache"] = True
    if rerun_of is not None:
        spec["rerunOf"] = dict(rerun_of)
    while True:
        metadata = {"name": name or new_name(ref["name"]), "namespace": cluster.namespace}
        body = {
            "apiVersion": EXECUTIONS.api_version,
            "kind": "Execution",
            "metadata": metadata,
            "spec": spec,
        }
        try:
            return await cluster.kube.create(EXECUTIONS, body)
        except AlreadyExists:
            if name is not None:
                message = f"Execution {name} exists already in namespace {cluster.namespace}"
                raise Refused(f"{message}; choose another --name") from None


async def _follow(cluster: Cluster, name: str, logs: bool) -> int:
    from citadel.cli.tunnel import open_api

    async with open_api(cluster) as api:
        following = asyncio.create_task(_print_logs(cluster, api, name)) if logs else None
        try:
            found = await wait_for_end(cluster, api, name, _Quiet() if logs else show_on(sys.stderr))
            if following is not None:
                await following
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        if logs:
            await wait_for_end(cluster, api, name, show_on(sys.stderr))
        code = exit_code(found)
        if code == ExitCode.OK:
            text = json.dumps(await read_outputs(api, found), indent=2, ensure_ascii=False)
            click.echo(safe(text) if sys.stdout.isatty() else text)
        return code


async def _print_logs(cluster: Cluster, api: "Api", name: str) -> None:
    printer = LogPrinter.to_stdout()
    try:
        async for chunk in log_chunks(cluster, api, name, follow=True):
            printer.print(chunk)
    except Refused as error:
        click.echo(f"citadel: no logs: {error}", err=True)
    finally:
        printer.flush()


class _Quiet:
    """Shows nothing: lines of the log have the terminal to themselves."""

    def update(self, view: Any) -> None:
        """Nothing."""

    def close(self, view: Any) -> None:
        """Nothing."""
