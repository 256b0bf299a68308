"""A language is a folder here: `cases.md` has its code for each case, and what only the language can tell.

A section is a heading with a case's name. It holds the code, and what is told of how the case ends, as JSON,
both fenced; or one line `None: ` and the reason why the language has no such thing.
"""

import dataclasses
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from conformance.cases import CASES, OPEN, Case, Json

FOLDER = Path(__file__).parent
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.M | re.S)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
REASON = re.compile(r"^None: (.+)", re.M)


@dataclass(frozen=True)
class Section:
    """What a language says of one case."""

    code: str | None
    told: dict[str, Json]
    reason: str
    """Why there is no such case."""


@dataclass(frozen=True)
class Language:
    """One folder."""

    name: str
    sections: dict[str, Section]

    def has(self, name: str) -> bool:
        """Whether the language has this case, or code of this name."""
        return not self.absent(name)

    def absent(self, name: str) -> str:
        """Why it has not."""
        section = self.sections.get(name)
        return section.reason if section else ""

    def code(self, name: str) -> str:
        """The code of this name."""
        section = self.sections.get(name)
        assert section, f"{self.name}/cases.md has no section {name!r}"
        assert section.code is not None, f"{self.name}/cases.md, {name}: no code"
        return section.code

    def entrypoint(self, name: str) -> str:
        """The function of the image that the case of this name runs instead of code."""
        return next((self.case(case).entrypoint for case in CASES if case.name == name), "")

    def told(self, name: str) -> dict[str, Json]:
        """What the language tells of a case."""
        return self.sections[name].told if name in self.sections else {}

    def case(self, case: Case) -> Case:
        """The case as this language tells it."""
        told = {key: value for key, value in self.told(case.name).items() if key not in ("why", "cannot")}
        if "reason" in told:
            told = {"output": None} | told
        elif "output" in told:
            told = {"reason": ""} | told
        return dataclasses.replace(case, **told)

    def cases(self) -> list[Case]:
        """Those that it has."""
        return [self.case(case) for case in CASES if self.has(case.name) and self.has(case.snippet)]

    def fields(self, name: str) -> dict[str, Json]:
        """An assignment's, that runs this code."""
        if self.name == "container":
            return {"command": ["sh", "-c", self.code(name)]}
        if entrypoint := self.entrypoint(name):
            return {"language": self.name, "entrypoint": entrypoint}
        return {"language": self.name, "code": self.code(name)}


def left_open(case: Case) -> list[str]:
    """What nobody told of a case."""
    return [field.name for field in dataclasses.fields(case) if getattr(case, field.name) == OPEN]


@cache
def languages() -> tuple[Language, ...]:
    """All folders."""
    return tuple(read(path) for path in sorted(FOLDER.glob("*/cases.md")))


def read(path: Path) -> Language:
    """The language of a folder."""
    sections = {}
    for name, text in SECTION.findall(path.read_text()):
        fences = FENCE.findall(text)
        told = [json.loads(body) for kind, body in fences if kind == "json"]
        code = [body for kind, body in fences if kind != "json"]
        reason = REASON.search(FENCE.sub("", text))
        assert name not in sections, f"{path}: two sections {name!r}"
        assert len(told) < 2, f"{path}, {name}: expected at most one block of JSON"
        assert len(code) < 2, f"{path}, {name}: expected at most one block of code"
        assert not (reason and code), f"{path}, {name}: both code and a reason to have none"
        sections[name] = Section(
            code[0] if code else None, told[0] if told else {}, reason[1] if reason else ""
        )
    return Language(path.parent.name, sections)
