"""What installs the packages of a Runtime: a Python step for each ecosystem, run in a sandbox like any other.

Must never be called by Citadel's own processes: `source` gives the text, a sandbox runs it.
"""

from functools import cache
from importlib.resources import files

_SHARED = "fetching"


@cache
def source(ecosystem: str) -> str:
    """The code of an ecosystem's step, `def main(packages, index, ca)`, with what all of them share."""
    shared, own = (_text(name) for name in (_SHARED, f"from_{ecosystem}"))
    # What stands above it need not be imported.
    before, _, after = own.partition(f"from citadel.installers.{_SHARED} import (")
    return f"{shared}\n\n{before.strip()}\n{after.partition(')')[2]}"


def _text(module: str) -> str:
    return (files(__name__) / f"{module}.py").read_text()
