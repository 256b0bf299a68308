"""`citadel`, also as `kubectl citadel`: the command line. Each command has its own file, loaded when used."""

from citadel.cli.group import main

__all__ = ["main"]
