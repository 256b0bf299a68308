"""The example `degree-days`, run by somebody who has the role `edit` in one namespace and nothing else."""

from typing import Any

import pytest

from degreedays import EXAMPLE, Year, read
from live import SANDBOXES, User

BASE = 18


@pytest.fixture
def applied(user: User) -> User:
    """That user, who has applied the example with the image that was built for it."""
    user.apply(EXAMPLE)
    return user


def run(comfort: float | None = None) -> str:
    """The manifest of the example's run, with another input."""
    text = (EXAMPLE / "run.yaml").read_text()
    changed = f"{{base: {BASE}, comfort: {comfort}}}"
    assert f"{{base: {BASE}}}" in text
    return text if comfort is None else text.replace(f"{{base: {BASE}}}", changed)


def check(outputs: dict[str, Any], year: Year, cooled: int) -> None:
    """Every number the example gives is that of another computation."""
    demand = year.demand(BASE)
    monthly = {month: float(degrees) for month, degrees in year.monthly_demand(BASE).items()}
    assert outputs["heating_degree_days"] == pytest.approx(float(sum(demand.values())), abs=0.05)
    assert outputs["heated_days"] == len(demand)
    assert outputs["cooled_days"] == cooled
    assert outputs["coldest_day"] == min(year.means, key=lambda day: year.means[day]).isoformat()
    assert outputs["month_of_most_heating"] == max(monthly, key=lambda month: monthly[month])
    assert outputs["by_month"] == pytest.approx(monthly, abs=0.001)


def test_the_numbers_are_those_of_another_computation_and_kubectl_shows_the_run(applied: User) -> None:
    execution = applied.finished(run())
    name, status = execution["metadata"]["name"], execution["status"]
    assert status["phase"] == "Succeeded", status
    check(status["outputs"], read(), cooled=0)
    header, row = applied.kubectl("get", "executions").splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "AGE"]
    assert row.split()[:5] == [name, "degree-days", "Succeeded", "Completed", "5/5"]


def test_logs_of_python_and_of_the_container_reach_the_user(applied: User) -> None:
    name = applied.finished(run())["metadata"]["name"]
    logs = applied.citadel("logs", name)
    assert "8759 hours of 365 days, 3.1 to 24.4 °C" in logs
    assert "8760 lines, base 18 °C" in logs
    assert "2010-12  411.063 heating degree days" in logs
    assert "323 days heated, 0 days cooled" in logs


def test_the_branch_is_taken_when_an_hour_is_too_hot(applied: User) -> None:
    year = read()
    status = applied.finished(run(comfort=22))["status"]
    assert status["phase"] == "Succeeded", status
    check(status["outputs"], year, cooled=len(year.hotter_than(22)))
    assert status["outputs"]["cooled_days"] > 0


def test_an_input_out_of_bounds_fails_at_once_and_says_which(applied: User) -> None:
    status = applied.finished(run(comfort=99))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidInputs")
    assert "comfort" in status["message"]


def test_the_user_reaches_neither_sandboxes_nor_runtimes(applied: User) -> None:
    refused = [
        ("get", "pods", "-n", SANDBOXES),
        ("create", "runtimes"),
        ("get", "secrets", "-n", "citadel-system"),
    ]
    for question in refused:
        assert applied.kubectl("auth", "can-i", *question, check=False).startswith("no"), question
