"""The examples of control flow, on this machine."""

import json

import pytest

from component.local.conftest import Citadel
from flows import FLOWS, Flow, check


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.example} {json.dumps(flow.inputs)}")
def test_an_example_does_here_what_it_has_to(flow: Flow, citadel: Citadel) -> None:
    given = [part for name, value in flow.inputs.items() for part in ("-i", f"{name}:={json.dumps(value)}")]
    done = citadel("run", "--local", str(flow.workflow), *given, "--logs")
    outputs = done.outputs if done.code == 0 else None
    check(flow, done.code == 0, outputs, done.stderr)
