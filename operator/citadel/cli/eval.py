"""`citadel eval`: an agent works on cases, and what must hold of each is asked."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from citadel.api.problems import counted
from citadel.cli import completing
from citadel.cli.lint import other_text, text_of
from citadel.cli.remote import ExitCode, Target, target_options
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.local.evaluations import EvaluationDocument
    from citadel.local.isolation import Wanted
    from citadel.local.outcomes import Outcome


@click.command("eval")
@click.argument("file", shell_complete=completing.files)
@click.option("-k", "pattern", metavar="TEXT", help="Only cases whose name has this text.")
@click.option("--model", metavar="MODEL", help="The Model that the agent asks, in place of its own.")
@click.option("--repeat", type=click.IntRange(1, 100), help="How often each case is run.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Share of the runs that must pass.")
@click.option("--junit", metavar="FILE", help="Write a report as CI systems read it, JUnit XML.")
@click.option(
    "-o", "output", type=click.Choice(["yaml"]), help="Print the Workflow that this is; nothing is run."
)
@click.option("--remote", is_flag=True, help="Run it in the cluster, whose Agent is asked.")
@click.option("--allow-network", is_flag=True, help="On this machine: let HTTP and MCP tools be called.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "none"]),
    default="auto",
    show_default=True,
    help="On this machine: what keeps steps from it; auto is bubblewrap where it works.",
)
@target_options
def evaluate(
    file: str,
    pattern: str | None,
    model: str | None,
    repeat: int | None,
    threshold: float | None,
    junit: str | None,
    output: str | None,
    remote: bool,
    allow_network: bool,
    isolation: "Wanted",
    target: Target,
) -> None:
    """Run an agent over cases, and check what must hold of each: FILE says which (docs/evaluation.md).

    It is a workflow like any other: `citadel eval FILE -o yaml | kubectl apply -f -` puts it into a cluster.

    \b
    Ends with 0 when as many runs pass as must, 1 when fewer do, 2 when the file is wrong,
    3 when the cluster cannot be reached or refuses, 130 when interrupted.
    """
    from citadel.cli.test import report_file

    changes = {"model": model, "repeat": repeat, "threshold": threshold}
    document = _read(file, {name: value for name, value in changes.items() if value is not None})
    if pattern is not None:
        total, document = len(document.runs), document.narrowed(pattern)
        if not document.runs:
            raise click.UsageError(
                f"-k {pattern}: none of {counted(total, 'case')} has this text in its name"
            )
    if output is not None:
        click.echo(_objects(document), nl=False)
        return
    report = report_file(junit)

    def tell(found: "Sequence[Outcome]") -> int:
        if report is not None:
            from citadel.cli.junit import report_of

            report.write_text(report_of([(file, outcome.verdict) for outcome in found], "citadel eval"))
        return _told(found, document)

    if remote:
        from citadel.cli.eval_remote import evaluate_in_cluster

        evaluate_in_cluster(target, document, tell)
    from citadel.cli.eval_local import evaluate_here

    sys.exit(evaluate_here(document, isolation, allow_network, tell))


def _read(file: str, changes: dict[str, Any]) -> "EvaluationDocument":
    """The evaluation; what is wrong with it ends the command."""
    from citadel.local.beside import InvalidFile
    from citadel.local.evaluations import read_evaluation

    try:
        return read_evaluation(file, text_of(file), other_text, changes)
    except InvalidFile as error:
        for problem in error.problems:
            click.echo(safe(problem.text), err=True)
        sys.exit(ExitCode.INVALID)


def _objects(document: "EvaluationDocument") -> str:
    """What is to be applied, as YAML."""
    from citadel.cli.yamltext import text_of_objects
    from citadel.local.assembling import objects_of

    return text_of_objects(objects_of(document))


def _told(found: "Sequence[Outcome]", document: "EvaluationDocument") -> int:
    """Tells of each run, and of all; the exit code."""
    for outcome in found:
        mark = click.style("ok  ", fg="green") if outcome.passed else click.style("FAIL", fg="red")
        tools = f"  {', '.join(outcome.tools)}" if outcome.tools else ""
        took = f"{outcome.tokens} tokens, ${outcome.cost:.6g}"
        click.echo(f"  {mark} {one_line(outcome.name)} ({took}){safe(tools)}")
        for problem in outcome.problems:
            click.echo(f"       {safe(problem)}")
    passed, threshold = sum(one.passed for one in found), document.evaluation.threshold
    share = passed / len(found)
    took = f"{sum(one.tokens for one in found)} tokens, ${sum(one.cost for one in found):.6g}"
    click.echo(f"{passed} of {counted(len(found), 'run')} passed, expected {threshold:.4g} of them; {took}")
    return ExitCode.OK if share >= threshold - 1e-9 else ExitCode.FAILED
