"""The example `degree-days` without a sandbox: its Python and its SQL, held against another computation."""

import json
import sqlite3
from typing import Any

import pytest

from citadel.api.loader import load
from citadel.api.validate import parse
from citadel.core.plan import compile_workflow
from degreedays import CSV, EXAMPLE, Year, read

(DOCUMENT,) = load((EXAMPLE / "workflow.yaml").read_text())
WORKFLOW = compile_workflow(parse("Workflow", DOCUMENT.value))


def call(step: str, **arguments: Any) -> Any:
    """What the code of a Python step returns, as it arrives at the next step: through JSON."""
    run = WORKFLOW.steps[step].spec.run
    assert run is not None
    assert run.code is not None
    module: dict[str, Any] = {}
    exec(compile(run.code, step, "exec"), module)
    return json.loads(json.dumps(module["main"](**arguments)))


def months(base: float) -> list[dict[str, Any]]:
    """What the SQL of the container step gives."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.execute("CREATE TABLE hours (moment TEXT, fahrenheit REAL)")
    rows = [line.split(",") for line in CSV.read_text().splitlines()[1:]]
    database.executemany("INSERT INTO hours VALUES (?, ?)", rows)
    query = (EXAMPLE / "image" / "months.sql").read_text()
    found = [dict(row) for row in database.execute(query, {"base": base})]
    database.close()
    return found


@pytest.fixture(scope="module")
def year() -> Year:
    return read()


@pytest.fixture(scope="module")
def days() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("days", csv=CSV.read_text())["days"]
    return found


def test_the_file_is_a_year_of_hours_but_the_one_that_clocks_skip(year: Year) -> None:
    assert sum(map(len, year.hours.values())) == 365 * 24 - 1
    assert CSV.stat().st_size < 200_000


def test_nothing_in_the_files_is_twisted_by_yaml() -> None:
    (run,) = load((EXAMPLE / "run.yaml").read_text())
    (kustomization,) = load((EXAMPLE / "kustomization.yaml").read_text())
    assert DOCUMENT.problems == run.problems == kustomization.problems == ()
    spec = parse("Execution", run.value)
    assert spec.workflow_ref.name == DOCUMENT.value["metadata"]["name"]
    assert WORKFLOW.inputs.apply(spec.inputs) == {"base": 18, "comfort": 26}


def test_the_workflow_reads_the_config_map_that_the_kustomization_makes() -> None:
    (kustomization,) = load((EXAMPLE / "kustomization.yaml").read_text())
    (generated,) = kustomization.value["configMapGenerator"]
    for step in ("days", "months"):
        reference = WORKFLOW.steps[step].spec.arguments["csv"]["valueFrom"]["configMapKeyRef"]
        assert reference["name"] == generated["name"]
        assert reference["key"] in generated["files"]


def test_days_have_the_means_and_extremes_of_their_hours(year: Year, days: list[dict[str, Any]]) -> None:
    assert [day["day"] for day in days] == [day.isoformat() for day in sorted(year.hours)]
    for day, (date, degrees) in zip(days, sorted(year.hours.items()), strict=True):
        assert day["mean"] == pytest.approx(float(year.means[date]))
        assert (day["low"], day["high"]) == pytest.approx((float(min(degrees)), float(max(degrees))))


@pytest.mark.parametrize("base", [0, 10, 18, 30])
def test_python_and_sql_count_the_degree_days_of_the_exact_computation(
    year: Year, days: list[dict[str, Any]], base: int
) -> None:
    expected = year.demand(base)
    heating = call("heating", days=days, base=base)
    assert heating["days"] == len(expected)
    assert heating["degree_days"] == pytest.approx(float(sum(expected.values())), abs=0.05)
    by_month = {month["month"]: month["heating_degree_days"] for month in months(base)}
    exact = year.monthly_demand(base)
    assert by_month == pytest.approx({month: float(exact.get(month, 0)) for month in by_month})
    assert len(by_month) == 12


@pytest.mark.parametrize("comfort", [20, 22, 24])
def test_cooling_finds_the_days_that_have_too_hot_an_hour(
    year: Year, days: list[dict[str, Any]], comfort: int
) -> None:
    expected = year.hotter_than(comfort)
    cooling = call("cooling", days=days, comfort=comfort)
    assert cooling["days"] == len(expected) > 0
    assert cooling["hottest_day"] in {day.isoformat() for day in expected}


@pytest.mark.parametrize(("comfort", "taken"), [(26, False), (24.3, True), (22, True)])
def test_the_branch_is_taken_when_an_hour_is_hotter_than_comfort(
    year: Year, comfort: float, taken: bool
) -> None:
    when = WORKFLOW.steps["cooling"].when
    assert when is not None
    output = call("days", csv=CSV.read_text())
    scope = {"steps": {"days": {"status": "Succeeded", "output": output}}, "inputs": {"comfort": comfort}}
    assert when.evaluate(scope) is taken
    assert bool(year.hotter_than(comfort)) is taken


def test_the_report_joins_with_and_without_the_branch(days: list[dict[str, Any]]) -> None:
    given = {"months": months(18), "heating": call("heating", days=days, base=18), "base": 18}
    without = call("report", cooling={"days": 0}, **given)
    assert without["most"] == "2010-12"
    assert "0 days cooled" in without["text"]
    assert "12 days cooled" in call("report", cooling={"days": 12}, **given)["text"]


def test_the_report_refuses_counts_that_do_not_agree(days: list[dict[str, Any]]) -> None:
    heating = call("heating", days=days, base=18)
    with pytest.raises(ValueError, match=r"SQLite counts .* degree days, Python"):
        call("report", months=months(17), heating=heating, cooling={"days": 0}, base=18)
