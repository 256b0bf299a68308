"""`citadel lint`: what is wrong with files, in the engine's own words, with line and column."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from citadel.cli import completing
from citadel.cli.terminal import safe


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=completing.files)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How problems are told: one line each, or a JSON list.",
)
def lint(files: tuple[str, ...], output: str) -> None:
    """Check Workflows, Executions, Runtimes and files of tests in YAML, without a cluster.

    Says what the controller would refuse, and what YAML would silently twist. `-` reads standard input.
    Runtimes and ConfigMaps that the files do not hold may exist in the cluster, so they are not asked for.
    Ends with 1 when there is a problem, and 2 when a file cannot be read.
    """
    from citadel.local.suites import problems_of

    found: list[dict[str, Any]] = []
    for file in files:
        for where, problem in problems_of(file, text_of(file), other_text):
            found.append(
                {"file": where, "line": problem.line, "column": problem.column, "message": problem.text}
            )
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for item in found:
            click.echo(safe("{file}:{line}:{column}: {message}".format(**item)))
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems" if found else "no problem"
        where = files[0] if len(files) == 1 else f"{len(files)} files"
        click.echo(f"{count} in {where}", err=True)
    sys.exit(1 if found else 0)


def other_text(path: Path) -> str:
    """The text of a file that another one names; raises OSError, UnicodeDecodeError."""
    return path.read_text("utf-8-sig")


def text_of(file: str) -> str:
    """The text of a file, or of standard input for `-`; raises click.UsageError, which exits with 2."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file}: byte {error.start} is not UTF-8") from None
