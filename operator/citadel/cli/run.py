"""`citadel run`: a workflow in the cluster, or on this machine with `--local`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from citadel.cli import completing
from citadel.cli.givens import input_option
from citadel.cli.remote import Target, target_options

if TYPE_CHECKING:
    from citadel.local.isolation import Wanted


@click.command()
@click.argument("workflow", metavar="WORKFLOW|FILE", shell_complete=completing.workflows_or_files)
@click.option("--local", is_flag=True, help="Run the FILE on this machine, without a cluster.")
@input_option("An input. Text becomes a number or list where the schema wants one; := takes JSON as it is.")
@click.option(
    "--input-file", "files", multiple=True, metavar="NAME=PATH", help="An input whose text stands in a file."
)
@click.option("--logs", is_flag=True, help="Show what the steps print.")
@click.option("--wait", is_flag=True, help="Wait for the end. Without it, only --local and --logs do.")
@click.option("--name", help="Name of the Execution in the cluster; else the workflow's and five characters.")
@click.option(
    "--revision",
    metavar="REV",
    shell_complete=completing.revisions,
    help="Run WORKFLOW as it was: one that `citadel history` lists.",
)
@click.option("--no-cache", is_flag=True, help="Run steps that have a cache, whatever is known.")
@click.option(
    "--journal",
    metavar="FILE",
    shell_complete=completing.files,
    help="With --local: keep the journal in this SQLite file.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "none"]),
    default="auto",
    help="With --local: what keeps steps from this machine; auto is bubblewrap where it works.",
)
@click.option(
    "--approve", multiple=True, metavar="STEP[=JSON]", help="With --local: approve ahead; JSON is the form."
)
@click.option("--reject", multiple=True, metavar="STEP[=REASON]", help="With --local: reject ahead.")
@click.option("--reason", default="", help="With --local: the reason of what is decided ahead.")
@click.option(
    "--signal", "signals", multiple=True, metavar="NAME[=JSON]", help="With --local: a signal, sent ahead."
)
@click.option("--allow-network", is_flag=True, help="With --local: let HTTP and MCP tools be called.")
@click.option(
    "--record",
    metavar="FILE",
    shell_complete=completing.files,
    help="With --local: write what agents do there, for `citadel replay`.",
)
@target_options
def run(
    target: Target,
    workflow: str,
    local: bool,
    pairs: tuple[str, ...],
    files: tuple[str, ...],
    logs: bool,
    wait: bool,
    name: str | None,
    revision: str | None,
    no_cache: bool,
    journal: str | None,
    isolation: "Wanted",
    approve: tuple[str, ...],
    reject: tuple[str, ...],
    reason: str,
    signals: tuple[str, ...],
    allow_network: bool,
    record: str | None,
) -> None:
    """Run a workflow: WORKFLOW is one in the cluster, FILE holds one in YAML.

    In the cluster, the Workflow of a FILE is applied first; ConfigMaps, Secrets, Runtimes and other
    Workflows that its steps use are yours to apply. With --local they come from the FILE too, and steps run
    in processes of this machine, by the same engine as in a cluster; its first line says what keeps them
    from your files. An Execution in the FILE gives inputs. Outputs are printed as JSON on stdout.

    \b
    Ends with 0 when it succeeded, 1 when it failed, 2 when something given is wrong,
    3 when the cluster cannot be reached or refuses, 130 when interrupted.

    \b
    citadel run --local examples/hello/workflow.yaml -i name=Ada
    citadel run sales-report -i region=emea -i limit:=10 --input-file csv=sales.csv --wait
    """
    if local and name is not None:
        raise click.UsageError("--name is for a run in the cluster; leave out --local")
    if local and revision is not None:
        raise click.UsageError("--revision is of a workflow in the cluster; leave out --local")
    if local:
        from citadel.cli.answering import ahead_of
        from citadel.cli.run_local import Options, run_here

        path = None if journal is None else str(Path(journal).expanduser().resolve())
        ahead = ahead_of(approve, reject, signals, reason)
        if record is not None and not Path(record).expanduser().absolute().parent.is_dir():
            raise click.UsageError(f"--record {record}: found no folder for this file")
        options = Options(logs, path, no_cache, isolation, ahead, allow_network, record)
        sys.exit(run_here(workflow, pairs, files, options))
    if journal is not None:
        raise click.UsageError("--journal goes with --local: in a cluster, the journal is its database")
    if approve or reject or reason or signals:
        raise click.UsageError(
            "--approve, --reject, --reason and --signal go with --local; in a cluster there are "
            "`citadel approve`, `reject` and `signal`"
        )
    if allow_network:
        raise click.UsageError("--allow-network goes with --local; in a cluster policies say what is allowed")
    if record is not None:
        raise click.UsageError("--record goes with --local; in a cluster there is `citadel record`")
    if isolation != "auto":
        raise click.UsageError("--isolation goes with --local: in a cluster, every step is isolated")
    from citadel.cli.remote_run import run_in_cluster

    run_in_cluster(
        target, workflow, pairs, files, name=name, revision=revision, no_cache=no_cache, wait=wait, logs=logs
    )
