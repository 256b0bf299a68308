"""`citadel trigger`: what a Trigger would start at its next time, now."""

from datetime import UTC, datetime

import click

from citadel.cli import completing
from citadel.cli.remote import Refused, Target, connect, finish, object_name, target_options


@click.command()
@click.argument("name", metavar="TRIGGER", shell_complete=completing.triggers)
@click.option("--logs", is_flag=True, help="Show what the steps print.")
@click.option("--wait", is_flag=True, help="Wait for the end.")
@target_options
def trigger(name: str, logs: bool, wait: bool, target: Target) -> None:
    """Start an execution of TRIGGER now, whatever its schedule says, and though it is suspended.

    Its inputs are those of the Trigger, trigger.scheduledTime is now. It counts as one of the Trigger:
    for the concurrency policy, and for the limits of what is kept.
    """
    finish(_trigger(target, name, wait, logs))


async def _trigger(target: Target, name: str, wait: bool, logs: bool) -> int:
    from citadel.api.meta import MANUAL_ANNOTATION
    from citadel.api.validate import InvalidObject, parse
    from citadel.cli.remote_run import follow_created, new_name
    from citadel.kube.errors import NotFound
    from citadel.kube.resources import EXECUTIONS, TRIGGERS
    from citadel.render.trigger import execution_of

    async with connect(target) as cluster:
        try:
            found = await cluster.kube.get(TRIGGERS, object_name("Trigger", name), cluster.namespace)
            spec = parse("Trigger", found)
        except NotFound as error:
            if error.details.get("name") != name:
                raise  # the kind is what is missing
            raise Refused(f"Trigger {name} does not exist in namespace {cluster.namespace}") from None
        except InvalidObject as error:
            raise Refused(str(error)) from None
        now = datetime.now(UTC)
        body = execution_of(spec, name, cluster.namespace, new_name(f"{name}-manual"), now)
        body["metadata"]["annotations"][MANUAL_ANNOTATION] = "manual"
        made = await cluster.kube.create(EXECUTIONS, body)
        return await follow_created(cluster, made["metadata"]["name"], wait, logs)
