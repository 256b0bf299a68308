"""The CRDs in the repository are what the models give, and what an API server takes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import structural
from citadel.api.crds import MAX_BYTES, definition
from citadel.api.generated import files, main
from citadel.api.kinds import KINDS, Kind

ROOT = Path(__file__).parents[2]


def schema_of(kind: Kind) -> dict[str, Any]:
    schema: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.mark.parametrize("name", files())
def test_the_file_in_the_repository_is_what_the_models_give(name: str) -> None:
    assert (ROOT / name).read_text() == files()[name]


def test_check_fails_and_names_the_file_that_is_out_of_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    stale = tmp_path / "crds/citadel.dev_runtimes.yaml"
    stale.write_text(stale.read_text() + "\n")
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out == "crds/citadel.dev_runtimes.yaml is out of date; run `make crds`\n"


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "citadel.api.crds", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@each_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    assert list(structural.violations(schema_of(kind))) == []


@each_kind
def test_every_list_string_and_map_is_bounded(kind: Kind) -> None:
    schema = schema_of(kind)
    for part in ("spec", "status"):
        assert list(structural.unbounded(schema["properties"][part], f"$.{part}")) == []


@each_kind
def test_every_field_has_a_description_that_no_templating_touches(kind: Kind) -> None:
    for path, node in structural.nodes(schema_of(kind)):
        is_element = path.endswith(("[]", ".*"))
        text = node.get("description", "")
        assert text or is_element or path == "$.metadata", path
        assert "${" not in text, path
        assert "{{" not in text, path
        assert "\n" not in text, path


@each_kind
def test_no_field_is_a_word_that_yaml_takes_for_a_boolean(kind: Kind) -> None:
    for path, node in structural.nodes(schema_of(kind)):
        for name in node.get("properties", {}):
            assert name.lower() not in structural.YAML_BOOLEANS, path


@each_kind
def test_the_definition_stays_well_below_what_client_side_apply_can_carry(kind: Kind) -> None:
    assert len((ROOT / "crds" / kind.file_name).read_bytes()) < MAX_BYTES / 2


@each_kind
def test_no_default_is_written_inside_a_list_or_a_status(kind: Kind) -> None:
    for path, node in structural.nodes(schema_of(kind)):
        if "[]" in path or path.startswith("$.status."):
            assert "default" not in node, path


@each_kind
def test_a_status_that_nobody_has_written_is_of_no_generation(kind: Kind) -> None:
    status = schema_of(kind)["properties"]["status"]
    observed = status["properties"].get("observedGeneration")
    assert status.get("default") == (None if observed is None else {"observedGeneration": -1})
    assert observed is None or observed["minimum"] == -1


@pytest.mark.parametrize(
    ("name", "short_name", "columns", "wide"),
    [
        ("Workflow", "ctwf", ["Ready", "Reason", "Age"], []),
        ("Runtime", "ctrt", ["Language", "Image", "Ready", "Age"], ["Pool"]),
        (
            "Execution",
            "ctex",
            ["Workflow", "Phase", "Reason", "Progress", "Age"],
            ["Duration", "Message", "Tokens", "Cost"],
        ),
        ("Model", "ctml", ["Provider", "Model", "Ready", "Reason", "Age"], ["Message"]),
        ("Agent", "agt", ["Model", "Tools", "Ready", "Reason", "Age"], ["Version", "Message"]),
        ("Tool", "cttl", ["Ready", "Reason", "Age"], ["Version", "Message"]),
        ("Approval", "ctap", ["Execution", "Step", "Phase", "By", "Age"], ["Deadline"]),
        (
            "Trigger",
            "cttr",
            ["Workflow", "Schedule", "Suspend", "Last", "Next", "Age"],
            ["Time Zone", "Ready", "Message"],
        ),
    ],
)
def test_names_and_columns_are_as_promised(
    name: str, short_name: str, columns: list[str], wide: list[str]
) -> None:
    (kind,) = [kind for kind in KINDS if kind.name == name]
    spec = definition(kind)["spec"]
    assert spec["names"]["shortNames"] == [short_name]
    assert spec["names"]["categories"] == ["citadel"]
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    shown = version["additionalPrinterColumns"]
    assert [column["name"] for column in shown if "priority" not in column] == columns
    assert [column["name"] for column in shown if column.get("priority") == 1] == wide


@each_kind
def test_a_column_that_is_no_condition_shows_a_field_that_exists(kind: Kind) -> None:
    for column in kind.columns:
        if column.path.startswith((".metadata", ".status.conditions")):
            continue
        schema = schema_of(kind)
        for field in column.path.removeprefix(".").split("."):
            schema = schema["properties"][field]
        shown_as = "date" if column.type == "date" and schema.get("format") == "date-time" else schema["type"]
        assert shown_as == column.type


def test_lists_of_named_things_merge_by_name() -> None:
    keys = {
        f"{kind.name}{path[1:]}": node["x-kubernetes-list-map-keys"]
        for kind in KINDS
        for path, node in structural.nodes(schema_of(kind))
        if node.get("x-kubernetes-list-type") == "map"
    }
    assert keys == {
        "Workflow.spec.steps": ["name"],
        "Workflow.spec.steps[].run.env": ["name"],
        "Workflow.spec.steps[].container.env": ["name"],
        "Workflow.spec.steps[].compensate.run.env": ["name"],
        "Workflow.spec.steps[].compensate.container.env": ["name"],
        "Workflow.spec.finally": ["name"],
        "Workflow.spec.finally[].run.env": ["name"],
        "Workflow.spec.finally[].container.env": ["name"],
        "Workflow.spec.finally[].compensate.run.env": ["name"],
        "Workflow.spec.finally[].compensate.container.env": ["name"],
        "Workflow.status.conditions": ["type"],
        "Runtime.spec.env": ["name"],
        "Runtime.spec.imagePullSecrets": ["name"],
        "Runtime.status.conditions": ["type"],
        "Model.status.conditions": ["type"],
        "Agent.spec.tools": ["name"],
        "Agent.spec.dependsOn.agents": ["name"],
        "Agent.spec.dependsOn.tools": ["name"],
        "Agent.spec.dependsOn.runtimes": ["name"],
        "Agent.status.conditions": ["type"],
        "Tool.spec.code.env": ["name"],
        "Tool.status.conditions": ["type"],
        "Tool.status.functions": ["name"],
        "Execution.status.steps": ["name"],
        "Execution.status.conditions": ["type"],
        "ExecutionPolicy.spec.credentials": ["name"],
        "ExecutionPolicy.status.conditions": ["type"],
        "Approval.status.conditions": ["type"],
        "Trigger.status.active": ["name"],
        "Trigger.status.conditions": ["type"],
    }


def test_free_form_maps_are_preserved() -> None:
    free = {
        f"{kind.name}{path[1:]}"
        for kind in KINDS
        for path, node in structural.nodes(schema_of(kind))
        if node.get(structural.PRESERVE)
    }
    assert free == {
        "Workflow.spec.inputs",
        "Workflow.spec.steps[].steps[]",
        "Workflow.spec.steps[].switch.cases[].value",
        "Workflow.spec.steps[].switch.default",
        "Workflow.spec.steps[].approval.form",
        "Workflow.spec.steps[].output",
        "Workflow.spec.steps[].with",
        "Workflow.spec.steps[].forEach.items",
        "Workflow.spec.steps[].onError.steps[]",
        "Workflow.spec.steps[].onError.output",
        "Workflow.spec.steps[].compensate.with",
        "Workflow.spec.steps[].cache.key",
        "Workflow.spec.steps[].files",
        "Workflow.spec.steps[].outputSchema",
        "Workflow.spec.finally[].steps[]",
        "Workflow.spec.finally[].switch.cases[].value",
        "Workflow.spec.finally[].switch.default",
        "Workflow.spec.finally[].approval.form",
        "Workflow.spec.finally[].output",
        "Workflow.spec.finally[].with",
        "Workflow.spec.finally[].forEach.items",
        "Workflow.spec.finally[].onError.steps[]",
        "Workflow.spec.finally[].onError.output",
        "Workflow.spec.finally[].compensate.with",
        "Workflow.spec.finally[].cache.key",
        "Workflow.spec.finally[].files",
        "Workflow.spec.finally[].outputSchema",
        "Workflow.spec.outputs",
        "Model.spec.script[].json",
        "Model.spec.script[].toolCalls[].arguments",
        "Agent.spec.parameters",
        "Agent.spec.outputSchema",
        "Tool.spec.parameters",
        "Tool.spec.outputSchema",
        "Tool.spec.http.body",
        "Tool.status.functions[].parameters",
        "Execution.spec.inputs",
        "Execution.status.outputs",
        "Approval.spec.shown",
        "Approval.spec.form",
        "Approval.spec.decision.form",
        "Trigger.spec.inputs",
    }


@each_kind
def test_the_chart_installs_the_very_definition_behind_its_switches(kind: Kind) -> None:
    template = (ROOT / "charts/citadel/templates/crds" / kind.file_name).read_text()
    lines = template.splitlines()
    assert lines[1] == "{{- if .Values.crds.install }}"
    assert lines[-1] == "{{- end }}"
    kept = yaml.safe_load("\n".join(line for line in lines if "{{" not in line))
    assert kept["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert kept == definition(kind)
