"""The example `polyglot`: five runtimes in one workflow, run by somebody who has only the role `edit`."""

import pytest

from airtraffic import EXAMPLE, Traffic, read
from live import User


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return read()


def test_five_runtimes_find_what_another_computation_finds(user: User, traffic: Traffic) -> None:
    user.apply(EXAMPLE)
    status = user.finished((EXAMPLE / "run.yaml").read_text())["status"]
    assert status["phase"] == "Succeeded", status
    outputs = status["outputs"]
    assert outputs["flights"] == sum(traffic.flights.values())
    assert outputs["kilometres"] == pytest.approx(traffic.kilometres(), rel=1e-9)
    assert (outputs["longest"]["from"], outputs["longest"]["to"]) == traffic.longest()
    assert set(outputs["critical"]) == traffic.critical()
    ranks = traffic.ranks(0.85)
    expected = sorted(ranks, key=lambda airport: -ranks[airport])[:10]
    assert [hub["airport"] for hub in outputs["hubs"]] == expected
    assert [hub["rank"] for hub in outputs["hubs"]] == pytest.approx([ranks[name] for name in expected])
    assert 0 < outputs["drawn"] < len(traffic.flights)
    assert "7,009,728 flights on 5,366 routes between 305 airports" in outputs["report"]


def test_a_second_run_compiles_nothing_and_its_logs_are_those_of_every_language(user: User) -> None:
    user.apply(EXAMPLE)
    manifest = (EXAMPLE / "run.yaml").read_text()
    assert user.finished(manifest)["status"]["phase"] == "Succeeded"
    name = user.finished(manifest.replace("{top: 10}", "{top: 3}"))["metadata"]["name"]
    logs = user.citadel("logs", name)
    for printed in (
        "306 tables/airports.csv",
        "5366 routes measured, the longest EWR to HNL",
        "305 airports; without one of 12 others could not be reached",
        "7,009,728 flights between 52 states and territories",
        "routes and 3 hubs drawn",
    ):
        assert printed in logs
