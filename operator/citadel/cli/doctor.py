"""`citadel doctor`: whether Citadel works in this cluster, and whether you may use it.

Looks only; it changes nothing and starts no pod. What it cannot see it calls unknown, never good.
"""

import sys
from collections.abc import Sequence

import click

from citadel.cli.remote import ExitCode, Target, connect, finish, target_options
from citadel.cli.terminal import one_line

_COLOURS = {"✔": "green", "✘": "red", "?": "yellow"}


@click.command()
@click.option(
    "--sandbox-namespace",
    envvar="CITADEL_SANDBOX_NAMESPACE",
    default="citadel-sandboxes",
    metavar="NAME",
    help="Where sandboxes run; else $CITADEL_SANDBOX_NAMESPACE, else citadel-sandboxes.",
)
@target_options
def doctor(sandbox_namespace: str, target: Target) -> None:
    """Check that Citadel works here, and that you may use it.

    ✔ is good, ✘ is not, ? could not be seen. Ends with 1 when something is not good.
    """
    finish(_doctor(target, sandbox_namespace))


async def _doctor(target: Target, sandbox_namespace: str) -> int:
    from citadel.cli.checks import checks, clients
    from citadel.cli.findings import Finding, Mark

    marks: list[Mark] = []

    def tell(findings: Sequence[Finding]) -> None:
        for finding in findings:
            marks.append(finding.mark)
            told = one_line(finding.told)
            line = f"{click.style(finding.mark, fg=_COLOURS[finding.mark])} {finding.about}: {told}"
            click.echo(line)
            if finding.hint:
                click.echo(f"    {one_line(finding.hint)}")
        sys.stdout.flush()

    tell(clients())
    async with connect(target) as cluster:
        async for findings in checks(cluster, sandbox_namespace):
            tell(findings)
    return ExitCode.FAILED if Mark.BAD in marks else ExitCode.OK
