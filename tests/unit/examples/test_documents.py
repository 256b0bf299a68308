"""What the documents say is there: links, paths, make targets, and manifests that Citadel would accept."""

import json
import re
from pathlib import Path

import pytest

from citadel.api.loader import load
from citadel.local.documents import read

ROOT = Path(__file__).parents[3]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_manifests_in_a_document_have_no_problem(document: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL):
        assert read(block).problems == []


@pytest.mark.parametrize("workflow", [*ROOT.glob("examples/*/workflow.yaml")], ids=named)
def test_an_example_has_no_problem(workflow: Path) -> None:
    contents = read(workflow.read_text())
    assert contents.problems == []
    assert contents.workflows


@pytest.mark.parametrize("file", [*ROOT.glob("examples/*/*.yaml")], ids=named)
def test_flux_leaves_the_expressions_of_an_example_alone(file: Path) -> None:
    for document in load(file.read_text()):
        if "${" in json.dumps(document.value):
            annotations = document.value["metadata"]["annotations"]
            assert annotations["kustomize.toolkit.fluxcd.io/substitute"] == "disabled"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", document.read_text())
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_make_targets_that_a_document_names_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", document.read_text())) <= targets


def test_the_source_layout_in_the_readme_exists() -> None:
    _, _, layout = (ROOT / "README.md").read_text().partition("## Where to change a thing")
    rows = [line.split("|")[1] for line in layout.splitlines() if line.startswith("| `")]
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        places = [ROOT, (ROOT / first).parent]
        for path in (first, *others):
            assert any((place / path).is_dir() for place in places), path
    assert rows
