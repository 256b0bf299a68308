"""A language's folder is complete: it has code for every case, or a reason why not."""

import re

import pytest

from citadel.render.pod import HARNESS
from conformance.cases import CASES, SCENES
from conformance.languages import FOLDER, Language, languages, left_open

CODE = {case.snippet for case in CASES} | set(SCENES)
#: What the page of each language tells.
ROWS = (
    "entry point",
    "output",
    "not an output",
    "numbers",
    "imports",
    "printing",
    "an exception",
    "no module",
)
ROWS += ("the end", "cancellation", "memory", "environment")
NAMES = {case.name for case in CASES} | set(SCENES)


def test_every_language_that_has_a_harness_has_a_folder() -> None:
    assert {language.name for language in languages()} == set(HARNESS) | {"container"}


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in CASES] + list(SCENES)
    assert sorted(names) == sorted(set(names))
    sentences = [case.says for case in CASES]
    assert sorted(sentences) == sorted(set(sentences))
    assert NAMES >= CODE


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_language_has_code_for_a_case_or_says_why_not(language: Language, name: str) -> None:
    if name in CODE and language.has(name) and not language.entrypoint(name):
        assert language.code(name).strip()
    for case in language.cases():
        assert case.name != name or not left_open(case), f"{language.name}/cases.md, {name}: not told"


def test_a_language_tells_of_nothing_else(language: Language) -> None:
    assert set(language.sections) <= NAMES


def test_a_language_has_a_page_with_its_contract(language: Language) -> None:
    page = (FOLDER.parents[1] / "runtimes" / language.name / "README.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \|", page, re.M)
    assert page.startswith(f"# The runtime `{language.name}`\n")
    assert [row for row in ROWS if row not in rows] == []
