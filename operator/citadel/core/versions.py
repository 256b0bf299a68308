"""Whether versions fit ranges, as `dependsOn` and `compatibility` name them. Pure."""

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

#: Version of what is spoken between an agent and what is around it.
PROTOCOL = "1"

__all__ = ["PROTOCOL", "InvalidVersion", "fits"]


def fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range such as `>=1.0,<2`; one that comes before a release is no release.

    Raises InvalidVersion, where nobody has looked at the version before.
    """
    return SpecifierSet(wanted).contains(_read(version), prereleases=True)


def _read(version: str) -> Version:
    """A semantic version, by the rules of Python's ranges: these know fewer names for what precedes one."""
    release, _, _ = version.partition("+")
    try:
        return Version(release)
    except InvalidVersion:
        return Version(f"{release.partition('-')[0]}.dev0")
