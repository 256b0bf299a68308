"""What `citadel doctor` tells of each matter."""

from dataclasses import dataclass
from enum import StrEnum

INSTALL = "`helm upgrade --install` with the chart charts/citadel installs or repairs it"


class Mark(StrEnum):
    """How a matter stands."""

    GOOD = "✔"
    BAD = "✘"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Finding:
    """One line of the report, and one hint where something can be done."""

    mark: Mark
    about: str
    told: str
    hint: str = ""
