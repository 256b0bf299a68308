"""Programs of upstream's own, built from their published Go modules: kstatus behind a pipe, and kustomize."""

import os
import subprocess
from pathlib import Path

import pytest

_PROGRAMS = {"kstatus": "./kstatus", "kustomize": "sigs.k8s.io/kustomize/kustomize/v5"}


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs. Go keeps what it built, so this takes long but once."""
    folder = tmp_path_factory.mktemp("upstream")
    for name, package in _PROGRAMS.items():
        subprocess.run(
            ["go", "build", "-o", folder / name, package],
            cwd=Path(__file__).with_name("upstream"),
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
            check=True,
        )
    return folder
