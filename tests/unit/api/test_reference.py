"""The reference pages: nothing of the API is missing in them, and nothing is told of what there is not."""

import re
from enum import StrEnum

import pytest
from pydantic import BaseModel

from citadel.api import explained, reference
from citadel.api.kinds import KINDS, Kind
from citadel.api.messages import inner_models
from citadel.api.reasons import Phase, Reason, StepStatus

PAGES = reference.files()


def page(kind: Kind) -> str:
    return PAGES[f"docs/reference/{kind.name.lower()}.md"]


def models(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> set[type[BaseModel]]:
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        for inner in inner_models(model).values():
            if inner is not None:
                models(inner, seen)
    return seen


def section(text: str, title: str) -> str:
    found = re.search(rf"^##+ {title}$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_every_model_has_a_row_with_a_meaning(kind: Kind) -> None:
    for title, root in (("spec", kind.spec), ("status", kind.status)):
        for model in models(root):
            rows = section(page(kind), title if model is root else model.__name__)
            for field in inner_models(model):
                assert re.search(rf"^\| `{field}` \| .+ \| .* \| \S.+ \|$", rows, re.MULTILINE), (
                    model,
                    field,
                )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_link_within_a_page_leads_to_a_heading(kind: Kind) -> None:
    headings = {heading.lower() for heading in re.findall(r"^##+ (\w+)$", page(kind), re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page(kind))) <= headings


def test_a_row_says_type_default_and_bounds() -> None:
    (workflow,) = [kind for kind in KINDS if kind.name == "Workflow"]
    assert (
        "| `attempts` | integer | `3` | How many attempts in all. (1 to 100) |"
        in section(page(workflow), "Retry").splitlines()
    )
    assert "Exactly one of `code`, `codeFrom`, `entrypoint`." in section(page(workflow), "Run")


@pytest.mark.parametrize("words", [Phase, StepStatus, Reason], ids=lambda words: words.__name__)
def test_every_word_of_the_api_is_explained(words: type[StrEnum]) -> None:
    for word in words:
        assert f"| `{word}` | " in PAGES["docs/reference/README.md"]


def test_a_word_without_an_explanation_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained, "PHASES", {"Pending": "Not begun."})
    with pytest.raises(reference.Unexplained, match=r"Phase Running, .*TimedOut: expected a line in citadel"):
        reference.files()
