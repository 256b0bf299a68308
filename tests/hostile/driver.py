"""What runs an attack and says how it went, `got` or `held`: the same words in a sandbox and in a twin."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hostile.corpus import ATTACKS, Case

SUFFIXES = {"python": "py", "javascript": "mjs", "container": "sh"}
PYTHON_STEP = """

def main(attack, facts):
    try:
        return {"got": str(globals()[attack](facts))[:200]}
    except Exception as error:
        return {"held": f"{type(error).__name__}: {error}"[:200]}
"""
#: In a twin: each case in a process of its own, with what comes before it.
PYTHON_TWIN = """

def twin(cases, facts):
    import json
    import os
    import signal

    for name, functions in cases:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.alarm(60)
            for function in functions:
                said = main(function, facts)
            os.write(writing, json.JSONEncoder().encode(said).encode())
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as file:
            os.waitpid(child, 0)
            os.set_blocking(reading, False)
            said = file.read() or b'{"held": "ended"}'
        os.write(1, json.dumps([name, json.loads(said)]).encode() + b"\\n")
"""
JAVASCRIPT_STEP = """
export default async function main({ attack, facts }) {
  try {
    return { got: String(await attacks[attack](facts)).slice(0, 200) };
  } catch (error) {
    return { held: `${error.name}: ${error.message}`.slice(0, 200) };
  }
}
"""
JAVASCRIPT_TWIN = """
const print = JSON.stringify;
for (const [name, functions] of CASES) {
  let said;
  for (const attack of functions) said = await main({ attack, facts: FACTS });
  console.log(print([name, said]));
}
process.exit(0);
"""
#: Every attack of an image is one command: a pod for each would take too long.
SHELL = """
ask() {
  local word=held said
  if said=$( (set -e; "$1") 2>&1 ); then word=got; fi
  jq -cn --arg name "$2" --arg word "$word" --arg said "${said:-nothing}" '[$name, {($word): $said[:200]}]'
}
"""


def source(shelf: str) -> str:
    """The attacks of a shelf."""
    (path,) = ATTACKS.glob(f"{shelf}.*")
    return path.read_text()


def step_source(case: Case) -> str:
    """The code of the steps of a case's shelf."""
    return source(case.shelf) + (JAVASCRIPT_STEP if case.language == "javascript" else PYTHON_STEP)


def command(cases: Iterable[Case]) -> str:
    """The script that asks for every case of the shelf `container`; its lines are results."""
    asked = "\n".join(f"ask {case.attack} {case.name}" for case in cases)
    return f"{source('container')}{SHELL}{asked}\n"


def program(cases: list[Case], facts: Mapping[str, Any]) -> str:
    """What a twin runs: the attacks of one language, one after the other, each result a line."""
    asked = [[case.name, list(case.functions)] for case in cases]
    if cases[0].language == "container":
        return command(cases)
    if cases[0].language == "javascript":
        given = f"const CASES = {json.dumps(asked)}, FACTS = {json.dumps(dict(facts))};"
        return step_source(cases[0]) + given + JAVASCRIPT_TWIN
    parts = []
    for shelf in dict.fromkeys(case.shelf for case in cases):
        mine = [case for case in cases if case.shelf == shelf]
        asked = [[case.name, list(case.functions)] for case in mine]
        code = step_source(mine[0]) + PYTHON_TWIN
        parts.append(f"exec({code!r}, space := {{}})\nspace['twin']({asked!r}, {dict(facts)!r})")
    return "\n".join(parts)


def results(lines: str) -> dict[str, dict[str, str]]:
    """What a twin printed, or a step put out."""
    return dict(json.loads(line) for line in lines.splitlines())
