"""Steps of the runtime python: through runner, shim and harness, as in a pod."""

import json

import pytest

from component.runtimes.gateway import Gateway


async def test_a_step_gets_its_arguments_and_returns_its_output(python: Gateway) -> None:
    result = await python.run("load", code="def main(a, b=2):\n    return {'sum': a + b}", input={"a": 40})
    assert result.output == {"sum": 42}
    assert result.chunks == 0
