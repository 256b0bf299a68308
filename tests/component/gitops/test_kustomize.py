"""kustomize, the real one: its prefixes, hashes and images reach into our resources."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs/gitops.md"
KUSTOMIZATION = """
resources: [all.yaml]
configurations: [%s]
namePrefix: team-
configMapGenerator:
- {name: code, literals: [main.py=x]}
- {name: sales, literals: [sales.csv=x]}
secretGenerator:
- {name: provider, literals: [key=x]}
images:
- {name: registry.example.com/report, newTag: "2.0"}
- {name: registry.example.com/python, newTag: "3.0"}
"""
ALL = """
apiVersion: citadel.dev/v1alpha1
kind: Runtime
metadata: {name: mine}
spec: {image: "registry.example.com/python:1.0"}
---
apiVersion: citadel.dev/v1alpha1
kind: Model
metadata: {name: writer}
spec:
  provider: anthropic
  model: large
  credential: {secretKeyRef: {name: provider, key: key}}
  fallbacks: [writer, shared]
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - name: load
    run: {runtime: mine, codeFrom: {configMapKeyRef: {name: code, key: main.py}}}
    with: {csv: {valueFrom: {configMapKeyRef: {name: sales, key: sales.csv}}}}
  - name: other
    run: {runtime: python, code: "def main(): pass"}
  - name: group
    forEach: {items: [1]}
    steps:
    - name: inner
      run: {runtime: mine, code: "def main(): pass"}
      onError: {steps: [{name: child, workflow: {name: flow}}], output: 1}
    output: 1
    compensate: {run: {runtime: mine, code: "def main(): pass"}}
  - name: report
    container: {image: "registry.example.com/report:1.0", command: [report]}
  - name: ask
    llm: {model: writer, prompt: "Why?"}
---
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata: {name: once}
spec: {workflowRef: {name: flow}}
"""


def build(folder: Path, program: Path, *configurations: str) -> dict[str, dict[str, Any]]:
    """The spec of each object, by kind."""
    given = ", ".join(["citadel.yaml", *configurations])
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION % given)
    (folder / "all.yaml").write_text(ALL)
    done = subprocess.run([program, "build", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    ours = [obj for obj in objects if obj["kind"] not in ("ConfigMap", "Secret")]
    assert {obj["kind"]: obj["metadata"]["name"] for obj in ours} == {
        "Runtime": "team-mine",
        "Model": "team-writer",
        "Workflow": "team-flow",
        "Execution": "team-once",
    }
    return {obj["kind"]: obj.get("spec") for obj in objects}


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "gitops/kustomize/citadel.yaml", tmp_path)
    return tmp_path


def test_names_and_images_are_followed_into_our_resources(configured: Path, upstream: Path) -> None:
    found = build(configured, upstream / "kustomize")
    load, other, group, report, ask = found["Workflow"]["steps"]
    assert group["steps"][0]["run"]["runtime"] == group["compensate"]["run"]["runtime"] == "team-mine"
    assert group["steps"][0]["onError"]["steps"][0]["workflow"]["name"] == "team-flow"
    assert load["run"]["runtime"] == "team-mine"
    assert load["run"]["codeFrom"]["configMapKeyRef"]["name"].startswith("team-code-")
    assert other["run"]["runtime"] == "python"  # a shared one, which is not among these
    assert report["container"]["image"] == "registry.example.com/report:2.0"
    assert ask["llm"]["model"] == "team-writer"
    assert found["Model"]["credential"]["secretKeyRef"]["name"].startswith("team-provider-")
    assert found["Model"]["fallbacks"] == ["team-writer", "shared"]
    assert found["Runtime"]["image"] == "registry.example.com/python:3.0"
    assert found["Execution"]["workflowRef"]["name"] == "team-flow"


def test_an_argument_by_reference_needs_the_line_that_the_document_shows(
    configured: Path, upstream: Path
) -> None:
    def argument(*configurations: str) -> str:
        step = build(configured, upstream / "kustomize", *configurations)["Workflow"]["steps"][0]
        return str(step["with"]["csv"]["valueFrom"]["configMapKeyRef"]["name"])

    assert argument() == "sales"
    (shown,) = re.findall(r"^```\n(nameReference:.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (configured / "arguments.yaml").write_text(shown)
    assert argument("arguments.yaml").startswith("team-sales-")
