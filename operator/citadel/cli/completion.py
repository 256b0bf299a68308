"""`citadel completion`: what makes a shell complete commands, options and names."""

import sys

import click

from citadel.cli.group import main

_VARIABLE = "_CITADEL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  citadel completion bash > ~/.local/share/bash-completion/completions/citadel
    zsh:   citadel completion zsh > "${fpath[1]}/_citadel"
    fish:  citadel completion fish > ~/.config/fish/completions/citadel.fish

    Names of executions, workflows and steps are asked of the cluster that the line names.
    For `kubectl citadel` nothing is needed: kubectl finds kubectl_complete-citadel.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "citadel", _VARIABLE).source())


def for_kubectl() -> None:
    """kubectl's way to ask a plugin: the words as arguments, the last one incomplete; then a directive."""
    from click.shell_completion import ShellComplete

    *words, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, "citadel", _VARIABLE).get_completions(words, incomplete)
    for item in found:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)
    # Cobra's directives: 4 keeps the shell from proposing files, 0 lets it.
    print(":0" if any(item.type in ("file", "dir") for item in found) else ":4")
