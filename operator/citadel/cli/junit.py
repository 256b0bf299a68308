"""A report of tests as CI systems read it: JUnit XML, by what GitLab, Jenkins and GitHub have in common."""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from citadel.local.trials import Verdict

#: What XML 1.0 cannot hold, written or escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Characters of its log that a test keeps: the last of them.
MAX_LOG = 100_000


def report_of(verdicts: "Iterable[tuple[str, Verdict]]", name: str = "citadel test") -> str:
    """The report of tests in the order of their files."""
    given = list(verdicts)
    suites = [
        (file, [verdict for _, verdict in group]) for file, group in groupby(given, key=lambda item: item[0])
    ]
    counts = _counts([verdict for _, verdict in given])
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites name={_attribute(name)}{counts}>"]
    for file, of_file in suites:
        lines.append(f"  <testsuite name={_attribute(file)}{_counts(of_file)}>")
        for verdict in of_file:
            lines += _case(file, verdict)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _counts(verdicts: "list[Verdict]") -> str:
    broken = sum(1 for verdict in verdicts if verdict.broken)
    failed = sum(1 for verdict in verdicts if verdict.problems) - broken
    seconds = sum(verdict.seconds for verdict in verdicts)
    return f' tests="{len(verdicts)}" failures="{failed}" errors="{broken}" time="{seconds:.3f}"'


def _case(file: str, verdict: "Verdict") -> Iterable[str]:
    classname = re.sub(r"\.ya?ml$", "", file).strip("./").replace("/", ".")
    about = f'name={_attribute(verdict.name)} classname={_attribute(classname)} time="{verdict.seconds:.3f}"'
    yield f"    <testcase {about}>"
    if verdict.problems:
        kind, told = ("error", "Error") if verdict.broken else ("failure", "Difference")
        text = _text("\n".join((f"{file}:{verdict.line}", *verdict.problems)))
        yield f'      <{kind} type="{told}" message={_attribute(verdict.problems[0])}>{text}</{kind}>'
    if verdict.log:
        yield f"      <system-out>{_text(verdict.log[-MAX_LOG:])}</system-out>"
    yield "    </testcase>"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
