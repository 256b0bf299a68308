"""Every language runs every case, through runner and shim, as in a pod."""

import pytest

from component.runtimes.conftest import Site
from component.runtimes.gateway import Result
from conformance.cases import Case
from conformance.conftest import Sandbox
from conformance.languages import Language, languages

EACH = [
    pytest.param(language, case, id=f"{language.name}: {case.says}")
    for language in languages()
    for case in language.cases()
]


@pytest.mark.parametrize(("language", "case"), EACH)
async def test_a_case_ends_as_it_should(language: Language, case: Case, site: Site) -> None:
    await site.language(language.name)
    sandbox = Sandbox(language, site.gateway, site.binaries / "tmp")
    result = await sandbox.run(case.snippet, case.name, input=case.given, env=case.env)
    check(case, result)
    if case.stdout or case.stderr:
        assert await site.gateway.log(case.name) == case.stdout
        assert (await site.gateway.log(case.name, stream="stderr")).startswith(case.stderr)
    elif not case.reason and case.output is not None:
        assert result.chunks == 0, "something was printed"
    after = await sandbox.run("arguments", "after", input={"a": 1, "b": 1})
    assert after.output == {"sum": 2}, "the sandbox takes no other step"


def check(case: Case, result: Result) -> None:
    """The result is the case's."""
    if not case.reason:
        assert result.output == case.output
        return
    failure = result.failure
    shown = "\n".join([*failure.get("traceback", ()), failure.get("logTail", "")])
    assert failure["reason"] == case.reason, failure
    assert case.message in failure["message"]
    assert case.traceback in shown, shown
    assert "harness" not in shown, shown
