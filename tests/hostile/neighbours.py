"""What the neighbours of a bomb notice: the time from step to step of a quiet session.

For each class of bomb it is measured alone, then while the bomb is held, in turns. The bomb's sandbox
may take a quarter of the node.
"""

import os
import statistics
import uuid
from itertools import pairwise
from typing import Any

from citadel.kube.resources import EXECUTIONS
from live import Cluster, python

STEPS = 40
SECONDS = 20
GOAL = 1.3
#: A quarter of the node.
RESOURCES = {"limits": {"cpu": f"{(os.cpu_count() or 4) * 250}m", "memory": "512Mi"}}
BOMBS = {
    "processor": """
    while time.time() < end:
        if len(children) < 8 and (pid := os.fork()) == 0:
            while time.time() < end:
                sum(range(100_000))
            os._exit(0)
        elif len(children) < 8:
            children.append(pid)
        else:
            time.sleep(0.1)
""",
    "memory": """
    while time.time() < end:
        taken = [bytearray(b"x") * (16 << 20) for _ in range(16)]
        del taken
""",
    "processes": """
    while time.time() < end:
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
""",
    "files": """
    while time.time() < end:
        with open("/tmp/bomb", "wb") as file:
            for _ in range(48):
                file.write(bytes(1 << 20))
        for number in range(2_000):
            os.close(os.open(f"/tmp/{number}", os.O_CREAT))
            os.unlink(f"/tmp/{number}")
""",
    "logs": """
    while time.time() < end:
        print("x" * 1_000)
""",
    "descriptors": """
    while time.time() < end:
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(10_000)]
        for one in opened:
            os.close(one)
""",
    "connections": """
    import socket, ssl
    while time.time() < end:
        held = []
        for _ in range(50):
            one = socket.socket()
            one.settimeout(0.2)
            try:
                one.connect((gateway, 443))
                one.send(b"no client hello at all")
            except OSError:
                pass
            held.append(one)
        for one in held:
            one.close()
""",
}
HEAD = """
import os, time
def main(seconds, gateway):
    end, children = time.time() + seconds, []
"""
MOMENT = "import time\ndef main(): return time.time()"


async def quiet(cluster: Cluster) -> float:
    """Median milliseconds from step to step of a session."""
    name = f"quiet-{uuid.uuid4().hex[:6]}"
    steps = [python(f"s{number}", MOMENT) for number in range(STEPS)]
    outputs = {f"s{number}": f"${{steps.s{number}.output}}" for number in range(STEPS)}
    await cluster.workflow(name, steps, outputs=outputs)
    status = await cluster.run(name, 120)
    assert status["phase"] == "Succeeded", status
    moments = [status["outputs"][f"s{number}"] for number in range(STEPS)]
    return statistics.median(b - a for a, b in pairwise(moments)) * 1000


async def measure(cluster: Cluster, bomb: str, gateway: str) -> tuple[float, float]:
    """Medians without and with the bomb; both are measured twice, in turns."""
    step = python("bomb", HEAD + BOMBS[bomb], args={"seconds": SECONDS, "gateway": gateway})
    step["run"]["resources"] = RESOURCES
    name = await cluster.workflow(f"bomb-{bomb}", [step])
    without, beside = [], []
    for _ in range(2):
        without.append(await quiet(cluster))
        execution = await cluster.execute(name)
        await cluster.until(execution, _runs, 60)
        beside.append(await quiet(cluster))
        held: dict[str, Any] = await cluster.get(execution)
        assert _runs(held), f"the bomb {bomb} was over before its neighbour: {held.get('status')}"
        await cluster.kube.patch(EXECUTIONS, execution, {"spec": {"stop": "Terminate"}}, cluster.namespace)
        await cluster.finished(execution)
    return min(without), min(beside)


def _runs(execution: dict[str, Any]) -> bool:
    steps = (execution.get("status") or {}).get("steps") or ()
    return any(step["status"] == "Running" for step in steps)
