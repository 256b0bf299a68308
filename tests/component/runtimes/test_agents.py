"""What only attempts of agents have: a way to their model and tools, and the reasons that these gave."""

import asyncio

from component.runtimes.conftest import Site

ASK = """
import json, urllib.request
def main(port):
    answers = []
    for method, what in (("POST", "chat/completions"), ("POST", "tools"), ("PUT", "memory")):
        body = json.dumps({"n": len(answers)}).encode()
        url = f"http://127.0.0.1:{port}/v1/{what}"
        request = urllib.request.Request(url, body, {"Authorization": "Bearer mine"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answers.append(json.load(answer))
    return answers
"""
FAIL = """
def main():
    from citadel_harness.failures import Failure
    raise Failure("BudgetExceeded", "no more")
"""


async def test_an_agent_asks_in_the_name_of_its_attempt_and_nothing_of_that_outlives_it(site: Site) -> None:
    await site.python()
    for attempt in (1, 2):
        given = {"input": {"port": site.agents}, "code": ASK, "agent": True}
        answers = (await site.gateway.run("fix[2].write", attempt, **given)).output
        at = f"/v1/attempts/fix%5B2%5D.write/{attempt}"
        assert [(item["path"], item["body"]) for item in answers] == [
            (f"{at}/chat/completions", {"n": 0}),
            (f"{at}/tools", {"n": 1}),
            (f"{at}/memory", {"n": 2}),
        ]
        assert {item["session"] for item in answers} == {"Bearer the-session"}
    failed = (await site.gateway.run("other", code=ASK, input={"port": site.agents})).failure
    assert "Connection refused" in failed["message"]


async def test_only_an_agent_gives_the_reasons_of_the_model_gateway(site: Site) -> None:
    await site.python()
    assert (await site.gateway.run("a", code=FAIL, agent=True)).failure["reason"] == "BudgetExceeded"
    assert (await site.gateway.run("b", code=FAIL)).failure["reason"] == "Error"


LINGERS = """
import atexit, sys, time
def main():
    atexit.register(time.sleep, 60)
    print("the last", end="")
    print("words", end="", file=sys.stderr)
    return "done"
"""


async def test_an_agent_has_ended_with_its_last_word(site: Site) -> None:
    sandbox = await site.python()
    given = {"code": LINGERS, "agent": True, "exclusive": True}
    assert (await site.gateway.run("a", **given)).output == "done"
    assert await site.gateway.log("a") == "the last"
    assert await site.gateway.log("a", stream="stderr") == "words"
    assert await sandbox.runner.wait() == 0
    async with asyncio.timeout(10):
        assert await sandbox.main.wait() == 0
