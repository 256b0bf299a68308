"""User code that writes its result itself, past the harness: only what is JSON within the limits counts."""

import pytest

from component.runtimes.gateway import Gateway

#: The result goes to every pipe that is open, as user code cannot know which one it is; one that nobody reads
#: is left after a while.
FORGE = """
import os, stat, time
def main():
    for number in range(3, 64):
        body, end = BODY, time.monotonic() + 1
        while body and time.monotonic() < end:
            try:
                if not stat.S_ISFIFO(os.fstat(number).st_mode):
                    break
                os.set_blocking(number, False)
                body = body[os.write(number, body):]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:
                break
    os._exit(0)
"""
DEEP = "b'S' + b'[' * 200_000 + b']' * 200_000"
FORGERIES = {
    "a number that is none": """b'S{"a": NaN}'""",
    "a number without end": """b'S[Infinity]'""",
    "half a character": r"""b'S["\\ud800"]'""",
    "bytes that are no text": """b'S["\\xff\\xfe"]'""",
    "the character NUL": r"""b'S["\\u0000"]'""",
    "endless nesting": DEEP,
    "more than one value": """b'S1 2'""",
    "two results": """b'S1S2'""",
    "no value": """b'S'""",
    "half a value": """b'S{"a": [1, 2'""",
    "a key without a value": """b'S{"a"}'""",
    "another notation": """b"S{'a': 1}" """,
    "a comment": """b'S/* 1 */ 1'""",
    "a mark of byte order": """b'S\\xef\\xbb\\xbf1'""",
    "more than a megabyte": """b'S"' + b'x' * (1 << 21) + b'"'""",
    "a key of more than a megabyte": """b'S{"' + b'k' * (1 << 21) + b'": 1}'""",
    "an unknown outcome": """b'X1'""",
    "a failure that is no object": """b'F[1]'""",
    "nothing": """b''""",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_what_is_no_result_is_a_failure_and_the_next_step_is_served(python: Gateway, name: str) -> None:
    forged = await python.run("a", code=FORGE.replace("BODY", FORGERIES[name]))
    assert forged.outcome == "Failed", forged
    assert forged.body["reason"] in ("InvalidOutput", "OutputTooLarge", "Error")
    assert (await python.run("b", code="def main(): return 1")).output == 1


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("""b'S{"a": [1, null, "x"]}'""", {"a": [1, None, "x"]}),
        ("""b'S{"__proto__": {"a": 1}}'""", {"__proto__": {"a": 1}}),
        ("b'S' + b'[' * 60 + b']' * 60", eval("[" * 60 + "]" * 60)),
    ],
)
async def test_what_is_one_counts_whoever_wrote_it(python: Gateway, body: str, output: object) -> None:
    assert (await python.run("a", code=FORGE.replace("BODY", body))).output == output


async def test_a_forged_failure_is_the_steps_own(python: Gateway) -> None:
    body = """b'F{"reason": "Error", "message": "mine", "step": "b", "attempt": 7, "exitCode": 3}'"""
    failure = (await python.run("a", code=FORGE.replace("BODY", body))).failure
    assert (failure["reason"], failure["message"]) == ("Error", "mine")
    assert "step" not in failure
