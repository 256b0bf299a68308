"""The hostile corpus is complete: what it names exists, and no case stands there without a twin."""

import re

import pytest

from hostile.corpus import ATTACKS, CASES, Twin
from hostile.twins import twin_pod

#: How a function is written that takes part, in each language.
FORMS = {
    "py": r"^def (\w+)\(facts: dict\)",
    "mjs": r"^  (\w+): (?:async )?\(.*=>",
    "sh": r"^(\w+)\(\) \{",
}
SHELVES = {path.stem: path for path in ATTACKS.glob("*.*") if path.suffix[1:] in FORMS}


@pytest.mark.parametrize("shelf", SHELVES)
def test_every_attack_is_a_case_and_every_case_an_attack(shelf: str) -> None:
    path = SHELVES[shelf]
    written = set(re.findall(FORMS[path.suffix[1:]], path.read_text(), re.MULTILINE))
    assert written == {function for case in CASES if case.shelf == shelf for function in case.functions}


def test_every_case_has_a_sentence_and_a_name_of_its_own() -> None:
    assert len({case.sentence for case in CASES}) == len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("twin", Twin)
def test_every_twin_is_asked_something_and_is_no_sandbox(twin: Twin) -> None:
    assert any(case.twin is twin for case in CASES)
    if twin in (Twin.NO_SHIM, Twin.NO_POLICY, Twin.THIS_MACHINE):  # what lacks is not in the pod
        return
    hardened, changed = twin_pod(Twin.NO_SHIM, "n", "i")["spec"], twin_pod(twin, "n", "i")["spec"]
    del hardened["volumes"][0]["configMap"], changed["volumes"][-1]["configMap"]
    assert hardened != changed


@pytest.mark.parametrize("shelf", SHELVES)
def test_attacks_are_shipped_alone_and_import_nothing_of_ours(shelf: str) -> None:
    imports = re.findall(r"^\s*(?:from|import) .*", SHELVES[shelf].read_text(), re.MULTILINE)
    assert not [line for line in imports if re.search("citadel|hostile|live|pytest", line)]
