"""The examples of control flow on a real cluster, run by somebody with the role `edit` in one namespace."""

import json

import pytest

from flows import FLOWS, Flow, check
from live import Cluster, User


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.example} {json.dumps(flow.inputs)}")
async def test_an_example_does_in_the_cluster_what_it_has_to(
    cluster: Cluster, user: User, flow: Flow
) -> None:
    user.kubectl("apply", "-f", str(flow.workflow))
    name = await cluster.execute(flow.example, inputs=flow.inputs)
    status = (await cluster.finished(name))["status"]
    log = user.citadel("logs", name)
    check(flow, status["phase"] == "Succeeded", status.get("outputs"), f"{status} {log}")
