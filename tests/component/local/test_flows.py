"""The examples on this machine. Those with containers need their images, and run where these are built."""

import getpass
from pathlib import Path

import pytest

from component.local.conftest import Citadel
from flows import FLOWS, Flow, check, local_options

HERE = [flow for flow in FLOWS if not flow.containers]


@pytest.mark.parametrize("flow", HERE, ids=str)
def test_an_example_does_here_what_it_has_to(flow: Flow, tmp_path: Path, citadel: Citadel) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(flow.hurried((flow.folder / "workflow.yaml").read_text()))
    done = citadel("run", "--local", str(file), *local_options(flow), "--logs")
    outputs = done.outputs if done.code == 0 else None
    check(flow, done.code == 0, outputs, done.stderr, done.stderr, getpass.getuser())
