"""What of a Runtime must be installed, by what, and what counts as the operator's own install."""

import json
from typing import Any

import pytest

from citadel.api.crds import definition
from citadel.api.kinds import KINDS
from citadel.api.validate import parse
from citadel.controller.installs import NotInstalled, install_of, installed, packages_of
from citadel.kube.resources import Object
from citadel.render.packages import Indexes, Install

INDEXES = Indexes({"pip": "https://files.example.com/pip", "go": "http://files.example.com:8080/go"}, "PEM")
LINE = f"alpha==1.0 --hash=sha256:{'0a' * 32}"


def runtime(**changes: Any) -> Object:
    spec = {"language": "python", "image": "python:1", "packages": {"pip": [LINE]}, **changes}
    metadata = {"name": "data", "namespace": "team", "uid": "data-uid", "generation": 1}
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "Runtime"}
    return {**kind, "metadata": metadata, "spec": spec, "status": {}}


def install(**changes: Any) -> Install:
    obj = runtime(**changes)
    found = install_of(obj, parse("Runtime", obj), INDEXES)
    assert found is not None
    return found


def stored(obj: dict[str, Any]) -> dict[str, Any]:
    """An object as the API server keeps it: with the defaults that its schema writes."""
    kind = next(kind for kind in KINDS if kind.name == obj["kind"])
    version = definition(kind)["spec"]["versions"][0]
    copied: dict[str, Any] = json.loads(json.dumps(obj))
    _fill(copied, version["schema"]["openAPIV3Schema"])
    return copied


def _fill(value: Any, schema: dict[str, Any]) -> None:
    if isinstance(value, list):
        for item in value:
            _fill(item, schema.get("items", {}))
    elif isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = inner["default"]
            if name in value:
                _fill(value[name], inner)


def test_an_install_is_known_again_as_the_api_server_keeps_it() -> None:
    workflow = stored(install().workflow())
    assert workflow["spec"] != install().workflow_spec()  # there are defaults
    found = packages_of(workflow, parse("Workflow", workflow), {"data": runtime()}, runtime(), INDEXES)
    assert found.index == "files.example.com:443"
    spec = found.spec(runtime())
    assert "packages" not in spec
    assert spec["scratch"] == "768Mi"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "def main(**args): return 'mine'"),
        ("resources", {"limits": {"memory": "2Gi"}}),
    ],
)
def test_a_workflow_that_differs_in_anything_is_none_and_gets_no_index(field: str, value: Any) -> None:
    workflow = stored(install().workflow())
    workflow["spec"]["steps"][0]["run"][field] = value
    with pytest.raises(NotInstalled):
        packages_of(workflow, parse("Workflow", workflow), {"data": runtime()}, runtime(), INDEXES)


def test_a_copy_under_another_name_or_of_another_runtime_is_none() -> None:
    workflow = stored(install().workflow())
    spec = parse("Workflow", workflow)
    renamed = {**workflow, "metadata": {**workflow["metadata"], "name": "mine"}}
    other = {**runtime(), "metadata": {**runtime()["metadata"], "uid": "another"}}
    for obj, owner in ((renamed, runtime()), (workflow, other), (workflow, None)):
        with pytest.raises(NotInstalled):
            packages_of(obj, spec, {"data": runtime()}, owner, INDEXES)


def test_another_image_list_or_index_is_another_install() -> None:
    names = {install().name, install(image="python:2").name}
    names.add(install(packages={"pip": [LINE, LINE.replace("alpha", "beta")]}).name)
    elsewhere = install_of(
        runtime(), parse("Runtime", runtime()), Indexes({"pip": "https://other.example.com"})
    )
    assert elsewhere is not None
    assert len({*names, elsewhere.name}) == 4


def test_what_was_installed_counts_for_the_spec_that_it_was_installed_for() -> None:
    obj = runtime()
    spec = parse("Runtime", obj)
    obj["status"] = {"packages": {"digest": "sha256:1", "size": 7, "execution": f"{install().name}-2"}}
    assert installed(obj, spec, INDEXES) == {"namespace": "team", "digest": "sha256:1", "size": 7}
    changed = {**runtime(image="python:2"), "status": obj["status"]}
    with pytest.raises(NotInstalled, match="its packages are being installed"):
        installed(changed, parse("Runtime", changed), INDEXES)


def test_other_languages_are_installed_by_the_runtime_python() -> None:
    line = f"example.com/a@v1.0.0 h1:{'b' * 43}="
    made = install(language="go", image="go:1", packages={"go": [line]})
    step = made.workflow_spec()["steps"][0]
    assert step["run"]["runtime"] == "python"
    assert step["network"] == {"egress": ["files.example.com:8080"]}
    assert step["with"] == {"packages": [line], "index": "http://files.example.com:8080/go", "ca": "PEM"}
