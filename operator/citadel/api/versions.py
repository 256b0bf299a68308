"""Versions of agents and tools, and ranges of them, as `dependsOn` and `compatibility` have them."""

_NUMBER = r"[0-9]{1,9}"
#: Three numbers, and what semantic versioning lets follow.
VERSION_PATTERN = (
    rf"^{_NUMBER}[.]{_NUMBER}[.]{_NUMBER}(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?"
    r"([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$"
)
_TERM = rf"(==|!=|>=|<=|>|<|~=) ?{_NUMBER}([.]{_NUMBER})*([.][*])?"
VERSION_RANGE_PATTERN = rf"^{_TERM}( ?, ?{_TERM})*$"
