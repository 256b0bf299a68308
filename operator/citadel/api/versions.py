"""Versions of agents and tools, and ranges of them, as `dependsOn` and `compatibility` have them."""

_NUMBER = r"[0-9]{1,9}"
#: Three numbers, and what semantic versioning lets follow.
VERSION_PATTERN = (
    rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?"
    r"([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$"
)
_NUMBERS = rf"{_NUMBER}([.]{_NUMBER})*"
#: Of Python's version specifiers (PEP 440) those of releases: each may have what the standard lets it have.
_TERM = rf"((==|!=) ?{_NUMBERS}([.][*])?|(>=|<=|>|<) ?{_NUMBERS}|~= ?{_NUMBER}([.]{_NUMBER})+)"
VERSION_RANGE_PATTERN = rf"^{_TERM}( ?, ?{_TERM})*$"
