"""`citadel init`: a small workflow to begin with, which runs on this machine at once."""

import re
from pathlib import Path
from shlex import quote

import click

_WORKFLOW = """\
# yaml-language-server: $schema=./citadel.schema.json
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata:
  name: "{name}"
spec:
  inputs:                       # JSON Schema; what is declared here is all that an Execution may give
    type: object
    properties:
      text: {{type: string, default: the quick brown fox, maxLength: 10000}}
  steps:
  - name: count
    run:
      runtime: python
      code: |
        from collections import Counter

        def main(text):                                # arguments come from `with`
            print("counting", len(text), "characters")  # stdout is the step's log
            return dict(Counter(text.lower().split()))  # what is returned is its output
    with:
      text: "${{inputs.text}}"

  - name: longest               # waits for the step above, and takes its output
    when: size(steps.count.output) > 0
    run:
      runtime: python
      code: |
        def main(words):
            return max(words, key=len)
    with:
      words: "${{steps.count.output}}"

  outputs:
    words: "${{steps.count.output}}"
    longest: "${{steps.longest.?output.orValue(null)}}"   # null if that step was skipped
"""
_RUN = """\
# yaml-language-server: $schema=./citadel.schema.json
# One run: `kubectl create -f` makes another with every call, as the name is generated.
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata:
  generateName: "{prefix}"
spec:
  workflowRef: {{name: "{name}"}}
  inputs: {{text: to be or not to be}}
"""


_TEST = """\
# yaml-language-server: $schema=./citadel.schema.json
# `citadel test .` runs these on this machine.
workflow: workflow.yaml
tests:
- name: words are counted, and the longest is found
  inputs: {{text: to be or not to be}}
  expect:
    outputs: {{words: {{to: 2, be: 2, or: 1, not: 1}}, longest: not}}
    steps: {{count: {{log: counting 18 characters}}}}

- name: without words nothing is the longest
  mocks:
    count: {{output: {{}}}}        # the step does not run, but gives this
  expect:
    outputs: {{words: {{}}, longest: null}}
    steps: {{longest: Skipped}}
"""


@click.command()
@click.argument("directory", default=".", metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the workflow; else the directory's.")
def init(directory: Path, name: str | None) -> None:
    """Write a small workflow into DIR (else here), with a run and tests of it, and the schema for editors.

    Nothing that exists is overwritten.
    """
    from citadel.api.generated import schema_text

    name = _name(directory) if name is None else _given(name)
    texts = {
        "workflow.yaml": _WORKFLOW.format(name=name),
        "run.yaml": _RUN.format(name=name, prefix=f"{name[:56]}-"),
        "test.yaml": _TEST.format(),
        "citadel.schema.json": schema_text(),
    }
    there = [file for file in texts if (directory / file).exists()]
    if there:
        raise click.UsageError(f"{directory / there[0]} exists already; nothing was written")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            # Exclusively: what appeared meanwhile is not ours either.
            with (directory / file).open("x", encoding="utf-8") as out:
                out.write(text)
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    for file in texts:
        click.echo(f"wrote {directory / file}")
    workflow, run, tests = (
        quote(str(directory / file)) for file in ("workflow.yaml", "run.yaml", "test.yaml")
    )
    click.echo(
        f"\nhere:          citadel run --local {workflow} -i text='to be or not to be'"
        f"\nchecked:       citadel lint {workflow} {run}"
        f"\ntested:        citadel test {tests}"
        f"\nin a cluster:  kubectl apply -f {workflow} && kubectl create -f {run}",
        err=True,
    )


def _given(name: str) -> str:
    from citadel.api.messages import NAME_WORDS
    from citadel.api.meta import DNS_SUBDOMAIN_PATTERN

    if len(name) > 253 or not re.fullmatch(DNS_SUBDOMAIN_PATTERN, name):
        raise click.UsageError(f"--name: found {name!r:.80}, expected {NAME_WORDS}")
    return name


def _name(directory: Path) -> str:
    """The directory's name as far as an object can have it."""
    words = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower())[:63].strip("-")
    return words or "words"
