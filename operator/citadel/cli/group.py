"""The commands by name, and where each stands. Nothing is imported before it is known which one is meant."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Entry:
    """One command: the module and name of its click command, and what it does."""

    module: str
    name: str
    help: str


#: In the order of the help text. Adding a command is adding a line.
COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "run": Entry("citadel.cli.run", "run", "Run a workflow, in the cluster or on this machine."),
        "trigger": Entry("citadel.cli.trigger", "trigger", "Start what a Trigger starts, now."),
        "rerun": Entry(
            "citadel.cli.rerun", "rerun", "Run an execution again, from where it failed or from a step."
        ),
        "get": Entry("citadel.cli.get", "get", "List executions, or show one with all its steps."),
        "watch": Entry(
            "citadel.cli.watching", "watch", "Show an execution as it goes on: its steps, and when each ran."
        ),
        "logs": Entry("citadel.cli.logs", "logs", "Print what the steps of an execution printed."),
        "connections": Entry(
            "citadel.cli.connections",
            "connections",
            "Show what an execution reached, and what it was refused.",
        ),
        "history": Entry("citadel.cli.revisions", "history", "List the revisions of a workflow that ran."),
        "diff": Entry("citadel.cli.revisions", "diff", "Show what differs between two of them."),
        "agents": Entry("citadel.cli.registry", "agents", "List the agents that steps can run, and why not."),
        "tools": Entry("citadel.cli.registry", "tools", "List the tools that agents can call, and why not."),
        "approvals": Entry(
            "citadel.cli.approving", "approvals", "List what waits for a decision, or show what is asked."
        ),
        "approve": Entry("citadel.cli.approving", "approve", "Let a step that asks go on."),
        "reject": Entry("citadel.cli.approving", "reject", "Let a step that asks fail."),
        "signal": Entry("citadel.cli.signalling", "signal", "Send an execution a signal."),
        "cancel": Entry("citadel.cli.control", "cancel", "End an execution."),
        "suspend": Entry("citadel.cli.control", "suspend", "Let nothing new of an execution start."),
        "resume": Entry("citadel.cli.control", "resume", "Let a suspended execution go on."),
        "memory": Entry("citadel.cli.memory", "memory", "Show and delete what agents remember."),
        "init": Entry("citadel.cli.init", "init", "Write a small workflow to begin with."),
        "lint": Entry("citadel.cli.lint", "lint", "Check files, without a cluster."),
        "test": Entry("citadel.cli.test", "test", "Run tests of workflows, which stand beside them."),
        "eval": Entry(
            "citadel.cli.eval", "evaluate", "Run an agent over cases, and check what must hold of each."
        ),
        "record": Entry("citadel.cli.record", "record", "Write down what the agents of an execution did."),
        "replay": Entry("citadel.cli.replay", "replay", "Run recorded agents again, without any model."),
        "schema": Entry("citadel.cli.schema", "schema", "Print the JSON Schema of all kinds, for editors."),
        "completion": Entry("citadel.cli.completion", "completion", "Print what makes your shell complete."),
        "doctor": Entry(
            "citadel.cli.doctor", "doctor", "Check that Citadel works here, and that you may use it."
        ),
    }
)


class LazyGroup(click.Group):
    """A group that imports a command only to run it; the list of commands needs no import at all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: Any = getattr(import_module(entry.module), entry.name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        own = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Those of a plain command: a group's would import every command for its help.
        return [*own, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {"help_option_names": ["-h", "--help"], "max_content_width": 100}
)


@click.command(cls=LazyGroup, context_settings=dict(_SETTINGS))
@click.version_option(package_name="citadel-workflows", prog_name="citadel")
def main() -> None:
    """Workflows of AI agents and code on Kubernetes.

    Try one on this machine first: citadel run --local FILE
    """
