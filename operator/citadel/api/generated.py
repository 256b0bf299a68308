"""Every file that is generated from the models: CRDs, the chart's copies, docs/reference, gitops/kustomize.

Only `main` touches files: it writes them, or with --check says which are out of date.
"""

import argparse
import json
from pathlib import Path

from citadel.api import crds, editors, kustomize, reference


def files() -> dict[str, str]:
    """Every generated file: its path in the repository, and its text."""
    return {**crds.files(), editors.FILE: schema_text(), **reference.files(), **kustomize.files()}


def schema_text() -> str:
    """The editors' schema as it is committed, and as `citadel schema` prints it."""
    return json.dumps(editors.editor_schema(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes the files, or with --check says which differ; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m citadel.api.crds", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[3], help="root of the repository")
    options = parser.parse_args(arguments)
    stale = []
    for name, text in files().items():
        path = options.root / name
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(f"{name} is out of date; run `make crds`" if options.check else f"wrote {name}")
    return 1 if stale and options.check else 0
