"""`citadel watch` on the real cluster, by somebody with the role `edit` alone."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from live import Cluster, User, kubectl, python
from terminals import Terminal, on_terminal

CITADEL = str(Path(sys.executable).with_name("citadel"))
LOAD = """
import time
def main(n):
    time.sleep(1)
    if n == 3:
        raise ValueError("no rows in 表")
    return n
"""


def screen(terminal: Terminal) -> str:
    """All that was shown, without what steers the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.text).replace("\r", "")


async def begun(cluster: Cluster) -> str:
    """An execution with a loop of which an item fails, an execution within, and a step that waits."""
    await cluster.workflow("inner", [python("charge", "def main(): return 1")])
    steps: list[dict[str, Any]] = [
        python(
            "load",
            LOAD,
            args={"n": "${item}"},
            forEach={"items": list(range(12)), "parallelism": 3, "failFast": False},
            retry={"attempts": 2, "backoff": {"initial": "500ms"}},
        ),
        {"name": "bill", "workflow": {"name": "inner"}, "needs": []},
        {"name": "paid", "wait": {"signal": "payment"}, "needs": ["load", "bill"]},
    ]
    last = [python("last", "def main(): return 2")]
    await cluster.workflow("flow", steps, **{"finally": last})
    return await cluster.execute("flow")


async def test_an_execution_is_watched_to_its_end_and_afterwards(cluster: Cluster, user: User) -> None:
    name = await begun(cluster)
    async with on_terminal(CITADEL, "watch", name, env=user.env, width=140) as terminal:
        shown = await terminal.shows(lambda _: "waits for signal payment" in screen(terminal), within=120)
        assert shown, screen(terminal)
        user.citadel("signal", name, "payment")
        assert await terminal.end() == 0
    whole = screen(terminal)
    assert re.search(r"● load  \d+/12", whole)
    last = whole[whole.rindex(f"{name}  Succeeded") :]
    assert re.search(r"✔ load  12/12, 1 failed +Succeeded", last)
    assert re.search(r"✘ load\[3\] +Failed \(attempt 2\) .*▓.*█.* Error: ValueError: no rows in 表", last)
    assert "load[4]" not in last
    assert re.search(r"✔ bill +Succeeded .*─", last)
    assert re.search(r"│  └─ ✔ charge +Succeeded .*█", last)
    assert re.search(r"└─ ✔ finally: last +Succeeded .*█", last)

    lines = user.citadel("watch", name).splitlines()
    assert any(line.startswith("bill/charge  Succeeded") for line in lines)
    assert lines[-1].startswith(f"{name}  Succeeded")


async def test_who_looks_no_more_leaves_it_running(cluster: Cluster, user: User) -> None:
    name = await begun(cluster)
    async with on_terminal(CITADEL, "watch", name, "--no-gantt", env=user.env) as terminal:
        assert await terminal.shows(lambda _: "load[" in screen(terminal), within=120), screen(terminal)
        terminal.type("\x03")
        assert await terminal.end() == 130
    assert f"execution {name} goes on: `citadel watch -n {cluster.namespace} {name}`" in terminal.text
    user.citadel("signal", name, "payment")
    assert (await cluster.finished(name))["status"]["phase"] == "Succeeded"
    kubectl("delete", "execution", name, "-n", cluster.namespace)
    async with asyncio.timeout(40):
        while True:
            if len(json.loads(user.citadel("get", "--archived", "-o", "json"))["items"]) == 2:
                break
            await asyncio.sleep(0.5)
    lines = user.citadel("watch", name, "--archived").splitlines()
    assert any(line.startswith("load[3]  Failed (attempt 2)") for line in lines)
    assert any(line.startswith("bill/charge  Succeeded") for line in lines)
