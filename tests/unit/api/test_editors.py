"""The schema for editors: what lint accepts it accepts, and it sees the mistakes people make."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from citadel.api.editors import editor_schema
from citadel.api.kinds import KINDS
from citadel.api.messages import PATTERN_WORDS, inner_models

ROOT = Path(__file__).parents[3]
SCHEMA = editor_schema()
CHECKER = jsonschema_rs.Draft7Validator(SCHEMA)
EXAMPLES = sorted(ROOT.glob("examples/*/*.yaml"))


RUN = {"runtime": "python", "code": "x"}
CONTAINER = {"image": "x", "command": ["y"]}

DEEP = {"name": "b", "output": 1}
GROUP: dict[str, Any] = {"run": None, "output": 1}


def workflow(**step: Any) -> dict[str, Any]:
    whole = {"name": "a", "run": RUN, **step}
    return of("Workflow", {"steps": [{name: value for name, value in whole.items() if value is not None}]})


def suite(**test: Any) -> dict[str, Any]:
    return {"workflow": "workflow.yaml", "tests": [{"name": "a", **test}]}


def of(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def problems(value: Any) -> list[str]:
    return [error.message for error in CHECKER.iter_errors(value)]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_fits(file: Path) -> None:
    documents = list(YAML(typ="safe", pure=True).load_all(file.read_text()))
    assert documents
    for document in documents:
        assert problems(document) == []


@pytest.mark.parametrize(
    ("mistake", "value"),
    [
        ("a field of a step misspelt", workflow(whne="true")),
        ("a field of the spec misspelt", of("Workflow", {"step": []})),
        ("no step", of("Workflow", {"steps": []})),
        ("a step name with a hyphen", workflow(name="load-data")),
        ("two actions", workflow(container=CONTAINER)),
        ("no action", of("Workflow", {"steps": [{"name": "a"}]})),
        ("code twice", workflow(run={"runtime": "p", "code": "x", "entrypoint": "a:b"})),
        ("a word that is no choice", workflow(join="some")),
        ("a duration without a unit", workflow(timeout="30")),
        ("a number as text", workflow(retry={"attempts": "3"})),
        ("a number too large", workflow(retry={"attempts": 1000})),
        ("an input's type misspelt", of("Workflow", {**workflow()["spec"], "inputs": {"type": 5}})),
        ("a kind that there is not", of("Workflw", {})),
        ("a version that there is not", {**workflow(), "apiVersion": "citadel.dev/v9"}),
        ("no metadata", {key: value for key, value in workflow().items() if key != "metadata"}),
        ("a field beside the spec", {**workflow(), "steps": []}),
        ("an inner field misspelt", workflow(**GROUP, steps=[{"name": "b", "run": RUN, "whne": "true"}])),
        ("a step three levels down", workflow(**GROUP, steps=[{**DEEP, "steps": [{**DEEP, "steps": [{}]}]}])),
        ("a handler's step without an action", workflow(onError={"output": 1, "steps": [{"name": "b"}]})),
        ("a wait for nothing", workflow(run=None, wait={})),
        ("a schema of no type", workflow(outputSchema={"type": "objekt"})),
        ("an Execution of nothing", of("Execution", {"inputs": {}})),
        ("a file of tests without a workflow", {"tests": [{"name": "a"}]}),
        ("a field of a test misspelt", suite(mock={})),
        ("a mock that gives nothing", suite(mocks={"a": {}})),
        ("a mock that gives two things", suite(mocks={"a": [{"output": 1, "error": {}}]})),
        ("a status that there is not", suite(expect={"steps": {"a": "Done"}})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_mistake_is_seen(mistake: str, value: dict[str, Any]) -> None:
    assert problems(workflow()) == []
    assert problems(suite()) == []
    assert problems(value)


def test_steps_nest_to_any_depth() -> None:
    steps = [{"name": "leaf", "run": RUN}]
    for level in range(12):
        steps = [{"name": f"level{level}", "steps": steps, "output": "x"}]
    assert problems(of("Workflow", {"steps": steps})) == []


@pytest.mark.parametrize(
    "value",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"entrypoint": "main"}},
    ],
    ids=lambda value: value["kind"],
)
def test_what_is_not_ours_may_be_what_it_likes(value: dict[str, Any]) -> None:
    assert problems(value) == []


def test_every_field_is_described_and_every_reference_leads_somewhere_within() -> None:
    references, bare = set(), []

    def walk(schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for index, item in enumerate(schema):
                walk(item, f"{path}[{index}]")
        if not isinstance(schema, dict):
            return
        references.update([schema["$ref"]] if "$ref" in schema else [])
        for keyword, inner in schema.items():
            if keyword == "properties":
                for name, field in inner.items():
                    if not {"if", "then"} & set(path.split("/")) and not {"description", "$ref"} & set(field):
                        bare.append(f"{path}.{name}")
                    walk(field, f"{path}.{name}")
            elif keyword not in ("enum", "default", "const"):
                walk(inner, f"{path}/{keyword}")

    walk(SCHEMA, "")
    assert bare == []
    # An editor would ask the network for any other.
    assert references <= {f"#/definitions/{name}" for name in SCHEMA["definitions"]}


def test_every_kind_has_a_shape_of_its_own_name() -> None:
    for kind in KINDS:
        shape = SCHEMA["definitions"][f"citadel.dev.{kind.name}"]
        assert shape["properties"]["kind"]["const"] == kind.name
        assert shape["properties"]["spec"] == {"$ref": f"#/definitions/{kind.spec.__name__}"}
        assert set(SCHEMA["definitions"][kind.spec.__name__]["properties"]) == set(inner_models(kind.spec))


def test_a_pattern_is_told_in_words() -> None:
    message = SCHEMA["definitions"]["Step"]["properties"]["timeout"]["patternErrorMessage"]
    assert message == "expected a duration such as 500ms, 30s or 1h30m"
    assert message.removeprefix("expected ") in PATTERN_WORDS.values()
